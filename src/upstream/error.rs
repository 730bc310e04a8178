//! Why upstream gave no usable answer.

use std::time::Duration;

use awc::error::{PayloadError, SendRequestError};

use super::MAX_ANSWER_BYTES;

/// Why upstream could not be asked, or its answer not be taken. Whose fault: upstream's, or the
/// way's to it, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("upstream cannot be reached: {0}")]
    Unreachable(SendRequestError),
    #[error("upstream did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("{} answered `{status}`", who(*status))]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("upstream's answer broke off: {0}")]
    Broken(PayloadError),
    #[error("upstream's answer broke off: {got} of {announced} bytes came")]
    Truncated { announced: usize, got: usize },
    #[error("upstream's answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("upstream's answer to a validation cannot be read")]
    Unreadable,
    #[error("upstream redirects to `{0}`, where our token does not go: configure that address")]
    Redirected(String),
    #[error("upstream redirects in circles")]
    Circle,
    #[error("asking upstream ended in a panic: this is a bug in offleash")]
    Panicked,
}

/// Who answers with `status`: a server has no use for this one.
fn who(status: u16) -> &'static str {
    if status == 407 { "an outbound proxy that wants other credentials" } else { "upstream" }
}

// === impl UpstreamError ===

impl UpstreamError {
    /// The status upstream answered with, where it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When upstream wants to be asked again, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
