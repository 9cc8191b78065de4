//! Logs of steps: how lines are numbered, which are kept, and what people read of them.

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::limits::KeptLog;
use pawl_domain::log::{Level, Line, fields};
use pawl_domain::suspicion::Suspicion;
use pawl_store::SharedStore;
use pawl_store::logs::{LogPage, NewLines, Wanted};
use pawl_store::submit::NewRun;
use pawl_store::write::Batch;

use crate::stores::{HERE, worker};

const ALL: KeptLog = KeptLog { lines: 1_000_000, bytes: 1 << 30 };

/// A run with two steps that were claimed, by a worker whose lease has ended.
struct Scene {
    store: SharedStore,
    run: RunId,
    worker: WorkerId,
    claims: Vec<Claim>,
}

impl Scene {
    async fn new(store: &SharedStore) -> Self {
        let mut link = store.link();
        let worker = worker(store, &mut *link, 0).await;
        let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
        let id = run.id;
        link.submit(&[run]).await.expect("submitted");
        let claims = [0, 1].map(|step| StepId { run: id, step: StepNo(step) }).to_vec();
        let written = link.write(worker, &Batch { claims, members: Vec::new() }).await.expect("claimed");
        let mut claims = written.claimed;
        claims.sort_by_key(|claim| claim.id);
        Self { store: store.clone(), run: id, worker, claims }
    }

    /// Lines of a step under a fence, with these texts: each a second after the one before it, the first at `place`.
    fn lines(&self, step: usize, fence: i64, place: u32, texts: &[&str]) -> NewLines {
        let line = |(number, text): (u32, &&str)| Line {
            at_ms: i64::from(number) * 1_000,
            level: if text.starts_with("odd") { Level::Warn } else { Level::Info },
            message: (*text).to_owned(),
            fields: fields(&[("z", *text), ("a", "\u{1b}\0")]),
        };
        let lines: Vec<Line> = (place..).zip(texts).map(line).collect();
        NewLines::of(self.claims[step].id, Fence(fence), self.worker, 1, place, &lines)
    }

    async fn keep(&self, lines: &[NewLines]) {
        self.store.keep_lines(lines, ALL).await.expect("kept");
    }

    fn all(&self) -> Wanted {
        Wanted::all(self.run)
    }

    async fn page(&self, wanted: &Wanted, after: i64, most: usize) -> LogPage {
        self.store.log_page(wanted, after, most).await.expect("a page")
    }

    async fn texts(&self, wanted: &Wanted) -> Vec<String> {
        texts(&self.page(wanted, 0, 1_000).await)
    }

    async fn end(self) {
        self.store.cancel(self.run).await.expect("cancelled");
        self.store.forget_worker(self.worker).await.expect("forgotten");
    }

    async fn mark(&self) -> Option<i64> {
        let marks = self.store.log_marks(&[self.run, RunId::new()]).await.expect("marks");
        assert!(marks.iter().all(|(run, _)| *run == self.run), "{marks:?}");
        marks.first().map(|(_, last)| *last)
    }
}

fn texts(page: &LogPage) -> Vec<String> {
    page.lines.iter().map(|line| line.line.message.clone()).collect()
}

fn numbers(page: &LogPage) -> Vec<i64> {
    page.lines.iter().map(|line| line.number).collect()
}

pub async fn lines_are_numbered_as_they_come_and_kept_once(store: &SharedStore) {
    let scene = Scene::new(store).await;
    assert_eq!((scene.mark().await, scene.texts(&scene.all()).await.len()), (None, 0));
    let first = [scene.lines(0, 1, 0, &["one", "two"]), scene.lines(1, 1, 0, &["odd"])];
    for time in ["the first", "again, after a lost answer"] {
        scene.keep(&first).await;
        assert_eq!(scene.texts(&scene.all()).await, ["one", "two", "odd"], "{time}");
    }
    scene.keep(&[scene.lines(0, 1, 2, &["three"])]).await;
    scene.keep(&first[..1]).await;
    let page = scene.page(&scene.all(), 0, 1_000).await;
    assert_eq!((numbers(&page), page.seen, page.more), (vec![1, 2, 3, 4], 4, false));
    assert_eq!(scene.mark().await, Some(4));
    let line = &page.lines[0];
    assert_eq!((line.step, line.fence, line.attempt, line.worker), (StepNo(0), Fence(1), 1, scene.worker));
    assert_eq!((line.line.at_ms, line.line.level), (0, Level::Info));
    let kept = line.line.fields.as_ref().map(|fields| fields.get());
    assert_eq!(kept, Some("{\"z\":\"one\",\"a\":\"\\u001b\\u0000\"}"), "as it was given");
    // A fence that the step has not had, a step that is not there, a run that is not.
    let stray = |id| NewLines { id, ..scene.lines(0, 1, 0, &["stray"]) };
    let strays = [
        scene.lines(0, 2, 0, &["early"]),
        stray(StepId { run: scene.run, step: StepNo(9) }),
        stray(StepId { run: RunId::new(), step: StepNo(0) }),
    ];
    scene.keep(&strays).await;
    assert_eq!(scene.mark().await, Some(4), "nothing of these was kept");
    scene.end().await;
}

pub async fn lines_of_a_claim_that_is_over_are_kept_as_its_own(store: &SharedStore) {
    let scene = Scene::new(store).await;
    scene.keep(&[scene.lines(0, 1, 0, &["before"])]).await;
    store.take_over(1_000, false, Suspicion::default()).await.expect("a sweep");
    let mut link = store.link();
    let replacement = worker(store, &mut *link, 60_000).await;
    let again = Batch { claims: vec![scene.claims[0].id], members: Vec::new() };
    let claim = link.write(replacement, &again).await.expect("claimed").claimed.remove(0);
    assert_eq!(claim.fence, Fence(3));
    // The replacement speaks first; then the other one, which does not know yet.
    let new = NewLines { worker: replacement, ..scene.lines(0, 3, 0, &["new"]) };
    scene.keep(&[new]).await;
    scene.keep(&[scene.lines(0, 1, 1, &["late"])]).await;
    let page = scene.page(&scene.all(), 0, 10).await;
    let told: Vec<_> = page.lines.iter().map(|line| (&*line.line.message, line.fence.0, line.worker)).collect();
    assert_eq!(told, [("before", 1, scene.worker), ("new", 3, replacement), ("late", 1, scene.worker)]);
    assert_eq!(
        texts(&scene.page(&scene.all(), 2, 10).await),
        ["late"],
        "who has read up to the new one misses nothing"
    );
    store.forget_worker(replacement).await.expect("forgotten");
    scene.end().await;
}

pub async fn a_log_is_read_page_by_page_and_from_its_end(store: &SharedStore) {
    let scene = Scene::new(store).await;
    // Rows of three lines, of both steps in turn.
    for place in (0..30).step_by(3) {
        let words = [0, 1, 2].map(|more| format!("{}{}", if place == 15 { "odd " } else { "" }, place + more));
        let words = words.each_ref().map(String::as_str);
        scene.keep(&[scene.lines(0, 1, place, &words), scene.lines(1, 1, place, &["beside"; 3])]).await;
    }
    let (all, one) = (scene.all(), Wanted { step: Some(StepNo(0)), ..scene.all() });
    for wanted in [all, one] {
        let whole = scene.page(&wanted, 0, 1_000).await;
        let mut pages = LogPage::default();
        let mut is_more = true;
        while is_more {
            let page = scene.page(&wanted, pages.seen, 7).await;
            assert!(page.lines.len() <= 7 && page.seen > pages.seen, "{page:?}");
            pages.lines.extend(page.lines);
            (pages.seen, is_more) = (page.seen, page.more);
        }
        assert_eq!(numbers(&pages), numbers(&whole));
        for most in [0, 1, 4, 1_000] {
            let tail = store.log_tail(&wanted, 0, most).await.expect("a tail");
            let expected = &numbers(&whole)[whole.lines.len().saturating_sub(most)..];
            assert_eq!((&*numbers(&tail), tail.more), (expected, false));
        }
    }
    assert_eq!(scene.page(&all, 0, 1_000).await.lines.len(), 60);
    assert_eq!(scene.texts(&one).await.len(), 30);
    assert_eq!(scene.texts(&Wanted { level: Level::Warn, ..all }).await, ["odd 15", "odd 16", "odd 17"]);
    assert_eq!(scene.texts(&Wanted { since_ms: 28_000, ..one }).await, ["28", "29"]);
    assert_eq!(scene.texts(&Wanted { attempt: Some(2), ..all }).await, [""; 0]);
    let (tail, last) = (store.log_tail(&Wanted { level: Level::Warn, ..one }, 0, 2).await.expect("a tail"), 60);
    assert_eq!(texts(&tail), ["odd 16", "odd 17"]);
    assert!(tail.seen > last - 6, "the end was looked at, too: {}", tail.seen);
    assert_eq!(numbers(&store.log_tail(&all, 58, 10).await.expect("a tail")), [59, 60]);
    scene.end().await;
}

pub async fn of_a_step_the_newest_lines_are_kept(store: &SharedStore) {
    let scene = Scene::new(store).await;
    let few = KeptLog { lines: 5, ..ALL };
    for place in 0..20 {
        let text = place.to_string();
        let lines = [scene.lines(0, 1, place, &[&text]), scene.lines(1, 1, place, &["beside"])];
        store.keep_lines(&lines[..if place < 3 { 2 } else { 1 }], few).await.expect("kept");
    }
    let of = |step| Wanted { step: Some(StepNo(step)), ..scene.all() };
    assert_eq!(scene.texts(&of(0)).await, ["15", "16", "17", "18", "19"]);
    assert_eq!(scene.texts(&of(1)).await, ["beside"; 3], "each step has its own");
    assert_eq!(scene.mark().await, Some(23), "numbers are not used again");
    let long = "x".repeat(600);
    for place in 20..24 {
        let lines = [scene.lines(0, 1, place, &[&long])];
        store.keep_lines(&lines, KeptLog { bytes: 3_000, ..ALL }).await.expect("kept");
    }
    assert_eq!(scene.texts(&of(0)).await, [&*long; 3], "two of them have 2,600 bytes");
    scene.end().await;
}
