use super::*;
use crate::bench::report::tests::report;
use aio_bench::Percentiles;

/// The elements' names and their texts; an error where the SVG isn't well formed.
fn elements(svg: &str) -> (Vec<String>, String) {
    let (mut open, mut names, mut texts) = (Vec::new(), Vec::new(), String::new());
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        texts += &rest[..start];
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{svg}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
        if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
            open.push(name.clone());
        }
        names.push(name);
    }
    assert!(open.is_empty(), "{open:?}");
    (names, texts)
}

fn with_latencies() -> Report {
    let mut report = report();
    for figures in report.cells.iter_mut().flat_map(|cell| &mut cell.engines) {
        figures.latency = Some(Percentiles {
            p50: 800,
            p90: 900,
            p99: 2000,
            p999: 90_000,
            max: 1_000_000,
        });
    }
    report
}

#[test]
fn every_plot_is_an_svg_that_names_its_engines() {
    let plots = plots(&with_latencies()).unwrap();
    let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "throughput-no-device",
            "latency-no-device",
            "cpu-no-device",
            "latency-disk",
            "cpu-disk"
        ]
    );
    for (name, svg) in &plots {
        let (elements, texts) = elements(svg);
        assert_eq!(elements[0], "svg");
        assert_eq!(
            elements.iter().filter(|element| *element == "svg").count(),
            1
        );
        for engine in [
            "floor",
            "aio-safe-lane",
            "aio-safe-lane-future",
            "aio-safe-batch",
            "aio-safe-batch-future",
        ] {
            assert!(texts.contains(engine), "{name} lacks {engine}");
        }
    }
}

#[test]
fn it_is_drawn_for_light_and_dark_ground() {
    for (_, svg) in plots(&with_latencies()).unwrap() {
        assert!(svg.contains("prefers-color-scheme:dark"));
        // Nothing is laid under it.
        assert!(!svg.to_lowercase().contains("#ffffff"), "{svg}");
    }
}

#[test]
fn what_wasnt_measured_is_not_drawn() {
    let mut report = report();
    assert!(
        plots(&report)
            .unwrap()
            .iter()
            .all(|(name, _)| !name.contains("latency"))
    );
    report.cells.clear();
    assert!(plots(&report).unwrap().is_empty());
}

#[test]
fn the_files_have_the_plots_names() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new");
    draw(&report(), &dir).unwrap();
    let svg = fs::read_to_string(dir.join("cpu-disk.svg")).unwrap();
    assert!(elements(&svg).1.contains("posix-aio"));
}
