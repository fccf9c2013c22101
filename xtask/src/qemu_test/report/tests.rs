use super::*;

pub(in super::super) fn guest(outcome: Outcome, cases: &[(&str, CaseOutcome)]) -> Guest {
    let mut totals = Totals::default();
    let cases = cases
        .iter()
        .map(|&(name, outcome)| {
            totals.count(outcome);
            let reason = (outcome == CaseOutcome::Failed).then(|| "it broke".to_owned());
            Case {
                name: name.to_owned(),
                outcome,
                reason,
                seconds: 0.012_345,
            }
        })
        .collect();
    Guest {
        arch: "x86_64".into(),
        series: "5.10".into(),
        release: "5.10.0-32-cloud-amd64".into(),
        storage: USUAL_STORAGE.into(),
        outcome,
        reason: None,
        totals,
        seconds: 4.099_999,
        features: Vec::new(),
        cases,
        console: "first\nlast words\n".into(),
        qemu: String::new(),
    }
}

fn report(guests: Vec<Guest>) -> Report {
    Report::new(guests, Vec::new())
}

#[test]
fn the_json_has_the_agreed_shape() {
    let report = report(vec![guest(Outcome::Passed, &[("a", CaseOutcome::Passed)])]);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    let expected = serde_json::json!({
        "guests": [{
            "arch": "x86_64", "series": "5.10", "release": "5.10.0-32-cloud-amd64",
            "outcome": "passed", "reason": null,
            "passed": 1, "failed": 0, "skipped": 0, "seconds": 4.1,
            "cases": [{"name": "a", "outcome": "passed", "reason": null, "seconds": 0.012}],
        }],
        "passed": 1, "failed": 0, "skipped": 0,
    });
    assert_eq!(json, expected);
}

#[test]
fn failures_are_shown_with_the_console() {
    let failed = guest(
        Outcome::Failed,
        &[("a", CaseOutcome::Passed), ("b", CaseOutcome::Failed)],
    );
    let report = report(vec![
        failed,
        guest(Outcome::Passed, &[("a", CaseOutcome::Passed)]),
    ]);
    let text = report.text();
    assert!(!report.all_passed());
    assert!(text.contains("  FAILED b: it broke\n"), "{text}");
    assert!(text.contains("  | last words\n"), "{text}");
    assert!(text.contains("1 of 2 guests passed"), "{text}");
    assert!(
        text.ends_with("\n2 passed, 1 failed, 0 skipped\n"),
        "{text}"
    );
}

#[test]
fn only_guests_that_all_passed_are_a_success() {
    assert!(!report(Vec::new()).all_passed());
    let passed = || guest(Outcome::Passed, &[("a", CaseOutcome::Passed)]);
    assert!(report(vec![passed(), passed()]).all_passed());
    for outcome in [
        Outcome::Failed,
        Outcome::Timeout,
        Outcome::Panic,
        Outcome::Lost,
    ] {
        assert!(!report(vec![passed(), guest(outcome, &[])]).all_passed());
    }
}

#[test]
fn a_kernel_that_is_not_available_is_an_error_and_in_the_report() {
    let passed = vec![guest(Outcome::Passed, &[("a", CaseOutcome::Passed)])];
    let why = "kernel series 7.0 isn't available";
    let report = Report::new(passed, vec![why.to_owned()]);
    let error = report.exit_code().unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["unavailable"], serde_json::json!([why]));
    assert_eq!(json["passed"], 1);
}

/// What a guest may write: markup, and characters that XML 1.0 has no way to write.
const NASTY: &str = "</pre><script>alert(\"1\")</script> & '\x1b[31m\0\u{b}\u{fffe}\u{202e} ]]> é";

fn about() -> About {
    About {
        started: DateTime::UNIX_EPOCH,
        took: Duration::from_secs(83),
        filter: Some("<setup>".into()),
        resumed: 2,
    }
}

/// Guests that ended in each way, with texts that are hard to write down.
fn mixed() -> Report {
    let passed = guest(
        Outcome::Passed,
        &[
            ("setup::one", CaseOutcome::Passed),
            ("setup::two", CaseOutcome::Skipped),
        ],
    );
    let mut failed = guest(
        Outcome::Failed,
        &[
            ("setup::one", CaseOutcome::Passed),
            ("submit::two", CaseOutcome::Failed),
        ],
    );
    failed.arch = "aarch64".into();
    failed.cases[0].reason = Some(format!("took {NASTY}"));
    failed.cases[1].reason = Some(format!("why: {NASTY}"));
    failed.console = format!("{}{NASTY}\r\nthe end\n", "line\r\n".repeat(TAIL));
    let mut lost = guest(Outcome::Lost, &[]);
    lost.series = "6.12<&\"16k".into();
    lost.reason = Some(format!("ended: {NASTY}"));
    lost.console = String::new();
    let mut silent = guest(Outcome::Timeout, &[]);
    silent.series = "6.1".into();
    silent.arch = "aarch64".into();
    Report::new(
        vec![passed, failed, lost, silent],
        vec![format!("7.0: {NASTY}")],
    )
}

/// The values of an attribute, in order.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let parts = page.split(&start).skip(1);
    parts.map(|part| part.split_once('"').unwrap().0).collect()
}

fn assert_plain(text: &str) {
    assert!(!text.contains("<script"), "markup got through");
    let odd =
        |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{fffe}\u{202e}".contains(c);
    assert_eq!(text.find(odd), None, "a character got through");
}

#[test]
fn the_page_shows_what_a_guest_wrote_and_no_more() {
    let page = page::text(&mixed(), &about());
    assert_plain(&page);
    let escaped = "&lt;/pre&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; \
                   '␛[31m␀␋";
    // In the failure, in its console, in the notes, and among the cases.
    assert!(page.matches(escaped).count() >= 6, "{page}");
    assert!(page.contains("Only cases with “&lt;setup&gt;”"), "{page}");
    assert!(page.contains("took 1 min 23 s"), "{page}");
    assert!(
        page.contains("results of 2 guests are from a run"),
        "{page}"
    );
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let page = page::text(&mixed(), &about());
    for word in [
        "http:", "https:", "src=", "url(", "@import", "onclick", "<link",
    ] {
        assert!(!page.contains(word), "it has {word}");
    }
    assert!(page.contains("default-src 'none'"), "{page}");
}

#[test]
fn each_link_leads_to_one_place() {
    let page = page::text(&mixed(), &about());
    let ids = values(&page, "id");
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
    let links = values(&page, "href");
    for link in &links {
        let place = link.strip_prefix('#').unwrap();
        assert!(ids.contains(&place), "{link} leads nowhere");
    }
    // The grid has one for each guest, and so has each list of failures.
    for cell in grid::Grid::new(&mixed()).cells() {
        let link = format!("#{}", cell.id);
        let why = format!("#why-{}", cell.id);
        assert!(links.contains(&link.as_str()), "no link to {link}");
        let failed = cell.guest.outcome != Outcome::Passed;
        assert_eq!(links.contains(&why.as_str()), failed, "{why}");
    }
    for label in values(&page, "aria-labelledby") {
        assert!(ids.contains(&label), "there is no label {label}");
    }
}

#[test]
fn the_page_tells_why_guests_failed_and_cases_were_skipped() {
    let page = page::text(&mixed(), &about());
    let text = |part: &str| assert!(page.contains(part), "{part} is missing: {page}");
    text("3 of 4 guests failed, 1 kernel not available");
    text("It reported no case.");
    text("Nothing was printed on its console.");
    text("The whole console, 27 lines");
    text("no reason given <span class=\"mark open\">1 case</span>");
    text("<h2 id=\"notes\">Notes</h2>");
    text("not booted");
    // Only areas with a failure are unfolded.
    assert_eq!(page.matches("<details open>").count(), 1, "{page}");
}

#[test]
fn tables_say_what_their_cells_belong_to() {
    let page = page::text(&mixed(), &about());
    let tables = page.matches("<table").count();
    assert!(tables >= 4, "{page}");
    assert_eq!(page.matches("<caption").count(), tables);
    let headings = page.matches("<th ").count() + page.matches("<th>").count();
    assert_eq!(page.matches(" scope=\"").count(), headings);
}

#[test]
fn a_run_without_guests_is_a_page_and_a_failure() {
    let nothing = report(Vec::new());
    let page = page::text(&nothing, &about());
    assert!(page.contains("✗ no guest was booted"), "{page}");
    assert!(!page.contains("id=\"failures\""), "{page}");
    let picture = picture::text(&nothing);
    assert!(picture.contains("no guest was booted"), "{picture}");
    let xml = junit::text(&nothing).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((read.tests, read.errors), (1, 1), "{xml}");
}

#[test]
fn a_run_that_passed_says_so() {
    let passed = guest(Outcome::Passed, &[("a::b", CaseOutcome::Passed)]);
    let page = page::text(&report(vec![passed]), &about());
    assert!(
        page.contains("✓ 1 guest passed. Cases: 1 passed, 0 failed"),
        "{page}"
    );
    for section in ["missing", "failures", "skipped", "notes"] {
        assert!(!page.contains(&format!("id=\"{section}\"")), "{section}");
    }
}

#[test]
fn the_xml_reads_back_with_each_outcome() {
    use quick_junit::{NonSuccessKind, TestCaseStatus};

    let xml = junit::text(&mixed()).unwrap();
    assert_plain(&xml);
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((read.tests, read.failures, read.errors), (7, 1, 3), "{xml}");
    let suites: Vec<(&str, usize)> = read
        .test_suites
        .iter()
        .map(|suite| (suite.name.as_str(), suite.test_cases.len()))
        .collect();
    let expected = [
        ("x86_64 5.10 virtio-blk", 2),
        ("aarch64 5.10 virtio-blk", 2),
        ("x86_64 6.12<&\"16k virtio-blk", 1),
        ("aarch64 6.1 virtio-blk", 1),
        ("qemu-test", 1),
    ];
    assert_eq!(suites, expected);
    let status = |suite: usize, case: usize| &read.test_suites[suite].test_cases[case].status;
    assert!(matches!(status(0, 0), TestCaseStatus::Success { .. }));
    assert!(matches!(status(0, 1), TestCaseStatus::Skipped { .. }));
    let why = |status: &TestCaseStatus| match status {
        TestCaseStatus::NonSuccess {
            kind,
            message,
            description,
            ..
        } => (
            *kind,
            message.as_ref().unwrap().to_string(),
            description.as_ref().unwrap().to_string(),
        ),
        other => panic!("{other:?}"),
    };
    let nasty = words::visible(NASTY);
    let text = format!("why: {nasty}");
    assert_eq!(
        why(status(1, 1)),
        (NonSuccessKind::Failure, text.clone(), text)
    );
    let text = format!("ended: {nasty}");
    assert_eq!(
        why(status(2, 0)),
        (NonSuccessKind::Error, text.clone(), text)
    );
    let (kind, message, _) = why(status(3, 0));
    assert_eq!(
        (kind, message.as_str()),
        (NonSuccessKind::Error, "no reason is known")
    );
    let console = read.test_suites[1].system_out.as_ref().unwrap();
    assert!(console.ends_with("\nthe end"), "{console:?}");
    assert_eq!(read.test_suites[0].system_out, None);
}

#[test]
fn the_picture_is_xml_with_a_cell_for_each_guest() {
    let picture = picture::text(&mixed());
    assert_plain(&picture);
    let mut reader = quick_xml::Reader::from_str(&picture);
    reader.config_mut().check_end_names = true;
    let mut texts = 0;
    let mut cells = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(start) => {
                texts += usize::from(start.name().as_ref() == b"text");
                for attribute in start.attributes() {
                    let attribute = attribute.unwrap();
                    let value = String::from_utf8(attribute.value.into_owned()).unwrap();
                    if attribute.key.as_ref() == b"class" && start.name().as_ref() == b"rect" {
                        cells.push(value);
                    }
                }
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    let count = |class: &str| cells.iter().filter(|cell| *cell == class).count();
    assert_eq!((count("good-ground"), count("bad-ground")), (1, 3));
    // Three kernels on two architectures: two guests weren't booted.
    assert_eq!(count("panel"), 2);
    assert!(texts > 10, "{picture}");
    assert!(picture.contains("3 of 4 guests failed"), "{picture}");
    assert!(picture.contains(">1 passed, 1 failed, 4.1 s<"), "{picture}");
    assert!(picture.contains(">1 passed, 4.1 s<"), "{picture}");
}

#[test]
fn the_files_are_written_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    for _ in 0..2 {
        mixed().write_to(&dir, &about()).unwrap();
    }
    for name in ["index.html", "junit.xml", "grid.svg"] {
        assert!(fs::metadata(dir.join(name)).unwrap().len() > 1000, "{name}");
    }
}

#[test]
fn what_storages_support_is_a_table_and_no_note() {
    let case = |name: &str, outcome, reason: &str| Case {
        name: name.into(),
        outcome,
        reason: Some(reason.into()),
        seconds: 0.0,
    };
    let text = "<ext4>: direct I/O = yes; poll = no (EINVAL)";
    let verdict = Verdict {
        outcome: Outcome::Passed,
        reason: None,
        release: None,
        cases: vec![
            case("features::directory", CaseOutcome::Passed, text),
            case("features::other", CaseOutcome::Skipped, "tmpfs: poll = yes"),
            case("a::b", CaseOutcome::Passed, "half: full = of it"),
        ],
        totals: Totals::default(),
    };
    let guest = Guest::new(("x86_64", "6.12", "6.12.1"), verdict, 1.0, String::new());
    let storages: Vec<&str> = guest
        .features
        .iter()
        .map(|one| one.storage.as_str())
        .collect();
    assert_eq!(storages, ["<ext4>"]);
    let report = report(vec![guest]);
    assert_eq!(report.notes(), "x86_64 6.12.1: a::b: half: full = of it\n");
    let json = serde_json::to_value(&report).unwrap();
    let expected = serde_json::json!([{"storage": "<ext4>", "answers": [
        {"feature": "direct I/O", "answer": "yes"},
        {"feature": "poll", "answer": "no (EINVAL)"},
    ]}]);
    assert_eq!(json["guests"][0]["features"], expected);
    let page = page::text(&report, &about());
    assert!(page.contains("<caption>&lt;ext4&gt;</caption>"), "{page}");
    assert!(
        page.contains("<span class=\"mark good\">yes</span>"),
        "{page}"
    );
    assert!(
        page.contains("<span class=\"mark open\">no (EINVAL)</span>"),
        "{page}"
    );
    assert!(!page.contains("tmpfs</caption>"), "{page}");
}

#[test]
fn storage_is_in_the_json_where_it_is_not_the_usual_one() {
    let mut odd = guest(Outcome::Passed, &[]);
    odd.storage = "nvme".into();
    let json = serde_json::to_value(report(vec![odd])).unwrap();
    assert_eq!(json["guests"][0]["storage"], "nvme");
}
