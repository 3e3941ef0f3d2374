//! Lists, all pages of them (reference 1.6). A list that could not be read to its end is an error, never a short list: from what
//! is missing, callers conclude that it does not exist.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::limiter::Urgency;
use super::paths;
use super::request::{Call, Caller, Verb};
use super::retry::Repeat;
use super::wire::{self, Page};
use crate::domain::anchor::Access;
use crate::domain::ports::{ApiError, ApiErrorKind};

/// Pages of one list, at most.
const MAX_PAGES: u64 = 1000;

/// A list that changes while we walk it is walked again, up to so many times in all.
const MAX_WALKS: u32 = 3;

/// A list to read.
pub(super) struct List<'a> {
    /// Where and with what.
    pub(super) access: &'a Access,
    /// Path, without page parameters.
    pub(super) path: &'a str,
    /// Who waits for it.
    pub(super) urgency: Urgency,
    /// Longest time for one page.
    pub(super) page_time: Duration,
    /// End of everything.
    pub(super) deadline: Instant,
}

/// Reads all entries of a list, each once. When it shrank meanwhile, an entry may have slipped from a page not yet read to one already
/// read; so it is read again, and the result is what any walk has seen.
///
/// # Errors
/// Those of the calls, and [`ApiErrorKind::Remote`] for pages that lead nowhere.
pub(super) async fn read(caller: &Caller, list: &List<'_>) -> Result<Vec<Value>, ApiError> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..MAX_WALKS {
        if walk(caller, list, &mut all, &mut seen).await? {
            break;
        }
    }
    Ok(all)
}

/// One walk; says whether the list stood still meanwhile.
async fn walk(
    caller: &Caller,
    list: &List<'_>,
    all: &mut Vec<Value>,
    seen: &mut HashSet<String>,
) -> Result<bool, ApiError> {
    let mut number = 1;
    let mut totals = HashSet::new();
    for _ in 0..MAX_PAGES {
        let page = fetch(caller, list, number).await?;
        totals.extend(page.total);
        for entry in page.entries {
            // Entries without an id cannot be told apart: keep them all.
            if entry.get("id").is_none_or(|id| seen.insert(id.to_string())) {
                all.push(entry);
            }
        }
        match page.next {
            None => return Ok(totals.len() <= 1),
            Some(next) if next > number => number = next,
            Some(next) => {
                let detail = format!("page {number} of {} names page {next} as the next one", list.path);
                return Err(ApiError::new(ApiErrorKind::Remote, detail));
            }
        }
    }
    Err(ApiError::new(ApiErrorKind::Remote, format!("{} has more than {MAX_PAGES} pages", list.path)))
}

async fn fetch(caller: &Caller, list: &List<'_>, number: u64) -> Result<Page, ApiError> {
    let call = Call {
        access: list.access,
        method: Verb::Get,
        path: &paths::page(list.path, number),
        body: None,
        repeat: Repeat::Harmless,
        may_be_absent: false,
        urgency: list.urgency,
        deadline: list.deadline.min(Instant::now() + list.page_time),
        patience: std::time::Duration::ZERO,
    };
    let answer = caller.call(call).await?;
    wire::page(&answer.body).map_err(|why| caller.nonsense(list.access, &answer, &why, false))
}
