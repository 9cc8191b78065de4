//! A journal whose entries before the checkpoint are dropped.

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, WorkerId};
use pawl_domain::journal::{Checkpoint, Entry, Held};
use pawl_store::SharedStore;
use pawl_store::history::{PIECE_BYTES, TRIM_ROWS};
use pawl_store::seal::Seal;
use pawl_store::write::{Batch, Member, Segment, Verdict};

use crate::world::claimed;

/// The number of the invariant that tells of holes.
const JOURNALS: i32 = 6;

/// Rows of two entries each, the last of which is large.
const ROWS: u32 = 500;

pub async fn trimmed_by_its_worker(store: &SharedStore) {
    let mut link = store.link();
    let (worker, id, fence) = claimed(&mut *link, 2).await;
    for row in 0..ROWS {
        let large = || Entry::OnceFinished { name: "x".into(), value: vec![7; 2 * PIECE_BYTES + 5] };
        let last = if row + 1 == ROWS { large() } else { Entry::Now { unix_ns: 1 } };
        let segment = Segment::of(row * 2, &[Entry::Now { unix_ns: row.into() }, last]);
        let member = Member { segment: Some(segment), ..Member::bare(id, fence) };
        let written = link.write(worker, &Batch { members: vec![member], ..Batch::default() }).await.expect("written");
        assert_eq!(written.members, [Verdict::Written]);
    }
    // In the middle of a row, as is the place where the guest first asked for its state.
    let checkpoint = Checkpoint {
        ordinal: 1,
        position: 901,
        random_position: 0,
        effect_ordinal: 0,
        prelude: Some(5),
        state: vec![9; PIECE_BYTES],
        held: Held::default(),
    };
    let member = Member { checkpoint: Some(checkpoint), ..Member::bare(id, fence) };
    link.write(worker, &Batch { members: vec![member], ..Batch::default() }).await.expect("saved");

    let claim = Claim { journal_length: 2 * ROWS, checkpoint_position: Some(901), ..Claim::bare(id, fence) };
    let past = async || {
        store.history(&claim, usize::MAX, &Seal::CLEAR).await.expect("the history").expect("it is not limited")
    };
    let whole = past().await;
    let entries: usize = whole.segments.iter().map(|(_, entries)| entries.len()).sum();
    assert_eq!(entries, 5 + 99, "on {}", store.name());
    assert_eq!(store.history(&claim, 3 * PIECE_BYTES, &Seal::CLEAR).await.expect("its size"), None, "it is larger");
    let rows = async || store.rows(id, 0, 2 * ROWS).await.expect("rows").len();
    assert_eq!(rows().await, ROWS as usize - 1, "the large row comes by itself");

    let trim = async |fence, until| store.trim(worker, id, fence, until).await.expect("trimmed");
    assert_eq!(trim(Fence(fence.0 + 1), 901).await, 0, "another one's step");
    assert_eq!(store.trim(WorkerId::new(), id, fence, 901).await.expect("trimmed"), 0, "another worker");
    assert_eq!(trim(fence, 20).await, 7, "the worker knows of no later checkpoint: entries 6 to 19");
    assert_eq!([trim(fence, 901).await, trim(fence, 901).await, trim(fence, 901).await], [TRIM_ROWS, TRIM_ROWS, 40]);
    assert_eq!(trim(fence, 901).await, 0);
    // Entries 4 and 5 are one row, as are 900 and 901: 3 before the prelude, 50 from the checkpoint on.
    assert_eq!(rows().await, 3 + 50 - 1, "on {}", store.name());
    assert_eq!(past().await, whole, "a replay misses nothing on {}", store.name());
    let mut violations = store.doctor(std::time::Duration::from_secs(3600), false).await.expect("a checked database");
    violations.retain(|violation| violation.invariant == JOURNALS);
    assert_eq!(violations, [], "on {}", store.name());
}
