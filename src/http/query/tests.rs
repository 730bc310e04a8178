use super::*;
use crate::http::recorder::Recorder;

fn read_as(surface: Surface, query: &str) -> (Vec<String>, Result<(), Invalid>) {
    let mut entries = Recorder::default();
    let result = read(query, surface, &mut entries, &mut Buffers::default());
    (entries.written, result)
}

#[test]
fn parameters_become_entries() {
    for (query, expected) in [
        ("", &[][..]),
        ("&&", &[]),
        ("userId=7", &["top userId=7"]),
        ("foo=bar&flag", &["top foo=bar", "top flag="]),
        ("properties[foo]=bar", &["property foo=bar"]),
        ("properties%5Bfoo%5D=bar", &["property foo=bar"]),
        ("properties%5bfoo%5d=b%20a+r", &["property foo=b a r"]),
        ("properties[a=b]=c=d", &["property a=b=c=d"]),
        ("properties%5Ba=b%5D=c", &["property a=b=c"]),
        ("properties[a][b]=c", &[]),
        ("properties[foo=bar", &["top properties[foo=bar"]),
        ("properties[0]=a&properties[k]=b", &["property 0=a", "property k=b"]),
        ("properties[constructor]=x", &["property constructor=x"]),
        ("foo[bar]=x&foo[]=y", &[]),
        ("[foo]=x", &["top [foo]=x"]),
        ("a.b=1", &["top a.b=1"]),
        ("userId=[abc]=", &["top userId=[abc]="]),
        ("userId=a=b", &["top userId=a=b"]),
        ("userId=%C3%A9%e2%82%ac", &["top userId=é€"]),
        ("userId=%zz+a", &["top userId=%zz a"]),
        ("userId=100%&foo=%4", &["top userId=100%", "top foo=%4"]),
        ("userId=%ff%20", &["top userId=%ff%20"]),
        ("userId=%+1", &["top userId=% 1"]),
        ("environment=dev&appName=web", &["top environment=dev", "top appName=web"]),
        ("unwanted=%31&properties[unwanted]=+2&foo=3", &["top foo=3"]),
    ] {
        for surface in [Surface::Proxy, Surface::Edge] {
            let (written, result) = read_as(surface, query);
            assert_eq!(written, expected, "{surface:?} {query}");
            assert_eq!(result, Ok(()), "{surface:?} {query}");
        }
    }
}

#[test]
fn an_empty_root_value_is_one_on_edges_surface_only() {
    let query = "userId=&sessionId&environment=&properties[a]=&b=";
    let both = ["property a=", "top b="];
    assert_eq!(read_as(Surface::Proxy, query).0, both);
    let edge = ["top userId=", "top sessionId=", "top environment=", "property a=", "top b="];
    assert_eq!(read_as(Surface::Edge, query).0, edge);
}

#[test]
fn what_is_no_root_value_is_none_among_the_properties_either() {
    let query = "properties[appName]=&properties[currentTime]=soon&properties[currentTime]";
    assert_eq!(read_as(Surface::Proxy, query).0, [""; 0]);
    let edge = ["property appName=", "property currentTime=soon", "property currentTime="];
    assert_eq!(read_as(Surface::Edge, query).0, edge);
    let kept = "properties[userId]=7&properties[currentTime]=2022-01-30";
    let both = ["property userId=7", "property currentTime=2022-01-30"];
    assert_eq!(read_as(Surface::Proxy, kept).0, both);
}

#[test]
fn the_proxys_schema_forbids_lists_and_objects_of_declared_names() {
    use Field::{AppName, CurrentTime, Properties, RemoteAddress, SessionId, UserId};
    for (query, expected) in [
        ("userId=1&userId=2", Some(UserId)),
        ("userId[]=1", Some(UserId)),
        ("userId[a]=b", Some(UserId)),
        ("userId[a][b]=c", Some(UserId)),
        ("user%49d%5B%5D=1", Some(UserId)),
        ("sessionId=1&sessionId=", Some(SessionId)),
        ("currentTime[]=1", Some(CurrentTime)),
        ("remoteAddress[]=1&appName[]=2", Some(AppName)),
        ("remoteAddress[]=1&userId[]=2", Some(UserId)),
        ("properties=x", Some(Properties)),
        ("properties=", Some(Properties)),
        ("properties", Some(Properties)),
        ("properties[]=x", Some(Properties)),
        ("properties[0]=x&properties[12]=y", Some(Properties)),
        ("remoteAddress=1&remoteAddress=2&properties=x", Some(RemoteAddress)),
        ("properties[0]=x&properties[k]=y", None),
        ("properties[01]=x", None),
        ("properties[1001]=x", None),
        ("properties[a]=1&properties[a]=2", None),
        ("environment=a&environment=b", None),
        ("environment[]=a", None),
        ("foo=1&foo=2&foo[]=3", None),
    ] {
        let expected = expected.map_or(Ok(()), |field| Err(Invalid::Query(field)));
        assert_eq!(read_as(Surface::Proxy, query).1, expected, "{query}");
    }
}

#[test]
fn edge_refuses_properties_that_are_no_object_and_nothing_else() {
    assert_eq!(read_as(Surface::Edge, "properties=x").1, Err(Invalid::Query(Field::Properties)));
    for query in ["userId=1&userId=2", "userId[]=1", "properties[0]=x", "appName[a]=b"] {
        assert_eq!(read_as(Surface::Edge, query).1, Ok(()), "{query}");
    }
}

#[test]
fn a_time_that_is_none_is_dropped_on_the_proxys_surface_only() {
    for (value, proxy) in [("2022-01-30T13:00:00Z", true), ("2022-01-30", true), ("soon", false)] {
        let query = format!("currentTime={value}");
        let expected = vec![format!("top currentTime={value}")];
        assert_eq!(read_as(Surface::Edge, &query).0, expected);
        let expected = if proxy { expected } else { Vec::new() };
        assert_eq!(read_as(Surface::Proxy, &query).0, expected, "{value}");
    }
}

#[test]
fn pairs_beyond_the_thousandth_are_ignored() {
    let query = "foo=1&".repeat(999) + "userId=last&sessionId=beyond";
    let (written, _) = read_as(Surface::Proxy, &query);
    assert_eq!(written.len(), 1000);
    assert_eq!(written.last().unwrap(), "top userId=last");
}

proptest::proptest! {
    #[test]
    fn whatever_is_encoded_comes_back(name in "[^\\[\\]]{1,12}", value in ".*") {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let query = format!("properties%5B{}%5D={}", encode(&name), encode(&value));
        let (written, _) = read_as(Surface::Edge, &query);
        proptest::prop_assert_eq!(written, vec![format!("property {name}={value}")]);
    }

    #[test]
    fn the_short_way_cuts_as_the_long_way_does(
        before in "([a-z]{0,20}=[a-z%+]{0,30}&){0,4}",
        query in "(properties)?(\\[|%5B|%5b)?[a%+=\\[\\]&]{0,4}(\\]|%5D|%5d)?=?[a=\\]%+]{0,3}&?[a=]{0,2}",
    ) {
        // Behind other pairs, so that it may lie across the end of what is looked at at once.
        let start = before.len();
        let pair = cut(&query);
        let behind = (pair.len() < query.len()).then_some(start + pair.len() + 1);
        let (name, value) = split(pair);
        let mut buffer = String::new();
        let long = (Name::parse(Raw::new(name).decode(&mut buffer)), Raw::new(value), behind);
        let whole = [before, query.clone()].concat();
        let mut marks = Marks::of(whole.as_bytes());
        marks.skip_before(start);
        if let Some(short) = cut_usual(&whole, start, &mut marks) {
            proptest::prop_assert_eq!(short, long);
        }
        // The next pair's marks are all there yet.
        let next = start + pair.len() + 1;
        marks.skip_before(next);
        let left: Vec<usize> = std::iter::from_fn(|| marks.next()).collect();
        let behind = whole.get(next..).unwrap_or_default();
        let expected = behind.match_indices(['&', '=', '%', '+', '[', ']']);
        let expected: Vec<usize> = expected.map(|(at, _)| next + at).collect();
        proptest::prop_assert_eq!(left, expected);
    }

    #[test]
    fn no_query_is_too_odd_to_be_read(query in ".*") {
        let _ = read_as(Surface::Proxy, &query);
        let _ = read_as(Surface::Edge, &query);
    }
}
