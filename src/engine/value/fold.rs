//! Lower-casing for comparisons that ignore case (section 4.9).

/// Appends `text` to `out` in Unicode's default lower case, as [`str::to_lowercase`] has it and
/// whatever the host's locale.
///
/// Allocates nothing but room in `out`, unless the text holds a capital sigma.
pub(crate) fn lower_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        if let Some(added) = out.get_mut(start..) {
            added.make_ascii_lowercase();
        }
    } else if text.contains('Σ') {
        // Its lower case depends on the letters around it.
        out.push_str(&text.to_lowercase());
    } else {
        out.extend(text.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lower(text: &str) -> String {
        let mut out = String::new();
        lower_into(text, &mut out);
        out
    }

    #[test]
    fn letters_of_every_script_are_lowered() {
        let rows = [
            ("", ""),
            ("ABC xyz 1", "abc xyz 1"),
            ("ÅLESUND", "ålesund"),
            ("STRASSE", "strasse"),
            ("straße", "straße"),
            ("ẞ", "ß"),
            ("ΟΔΟΣ", "οδος"),
            ("ΣΟΣ Σ", "σος σ"),
            ("İ", "i\u{307}"),
            ("I", "i"),
            ("Ⅷ😊", "ⅷ😊"),
        ];
        for (text, expected) in rows {
            assert_eq!(lower(text), expected, "`{text}`");
        }
    }

    #[test]
    fn what_the_buffer_holds_already_stays() {
        let mut out = String::from("Kept ");
        lower_into("ONE ", &mut out);
        lower_into("TWÖ ", &mut out);
        lower_into("ΣΣ", &mut out);
        assert_eq!(out, "Kept one twö σς");
    }

    #[test]
    fn every_character_is_lowered_as_the_standard_library_does() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            assert_eq!(lower(&text), text.to_lowercase(), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_lowered_as_the_standard_library_does(
            text in "\\PC{0,20}|[A-Zσςß]{0,12}|[ΣΑa.'\u{301} İ]{0,12}"
        ) {
            prop_assert_eq!(lower(&text), text.to_lowercase());
        }
    }
}
