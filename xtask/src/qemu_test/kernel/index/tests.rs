use super::*;

const VERSIONS: [(&str, &str); 6] = [
    ("5.10.0-32", "5.10.223-1"),
    ("5.10.0-9", "5.10.70-1"),
    ("6.12.94+deb13", "6.12.94-1"),
    ("6.12.107+deb13", "6.12.107-1"),
    ("7.3-rc4", "7.3~rc4-1~exp1"),
    ("7.4", "7.4.1-1~exp1"),
];

/// Packages of kernels that are in one package each.
fn whole() -> String {
    VERSIONS
        .map(|(number, version)| whole_release(number, version))
        .concat()
}

fn whole_release(number: &str, version: &str) -> String {
    format!(
        "Package: linux-image-{number}-cloud-amd64\nVersion: {version}\n\
         Depends: kmod, linux-base (>= 4.3~)\n\n"
    )
}

/// The packages of a release that is in several; `parts` are those that the archive has.
fn split_release(number: &str, version: &str, parts: &[&str]) -> String {
    let release = format!("{number}-cloud-amd64");
    let mut text = format!(
        "Package: linux-image-{release}\nVersion: {version}\n\
         Depends: dracut | initramfs-tools (>= 0.1), linux-base-{release} (= {version}), \
         linux-binary-{release} (= {version}), linux-modules-{release} (= {version})\n\n"
    );
    for part in parts {
        text += &format!("Package: linux-{part}-{release}\nVersion: {version}\nDepends: kmod\n\n");
    }
    text
}

const ALL_PARTS: &[&str] = &["binary", "modules"];

fn index(text: &str) -> Index {
    let stanzas: Vec<Stanza> = text.split_terminator("\n\n").map(Stanza::new).collect();
    Index::new((Duration::ZERO, "cloud-amd64".into()), &stanzas)
}

fn release_of(index: &Index, series: &str) -> String {
    index.newest_of(series, "amd64").unwrap().release.clone()
}

fn error_of(index: &Index, series: &str) -> String {
    index.newest_of(series, "amd64").unwrap_err().to_string()
}

#[test]
fn all_series_are_the_released_ones_that_are_complete_each_once() {
    let text = whole() + &split_release("6.19.6+deb13", "6.19.6-1", &["binary"]);
    assert_eq!(index(&text).all_series(), ["5.10", "6.12"]);
    let text = whole() + &split_release("7.2.9+deb13", "7.2.9-1", ALL_PARTS);
    assert_eq!(index(&text).all_series(), ["5.10", "6.12", "7.2"]);
}

#[test]
fn the_newest_of_a_series_is_by_version_not_by_name() {
    let index = index(&whole());
    assert_eq!(release_of(&index, "5.10"), "5.10.0-32-cloud-amd64");
    let newest = index.newest_of("6.12", "amd64").unwrap();
    assert_eq!(newest.release, "6.12.107+deb13-cloud-amd64");
    let name = "linux-image-6.12.107+deb13-cloud-amd64".to_owned();
    assert_eq!(newest.packages, [(name, "6.12.107-1".to_owned())]);
}

#[test]
fn other_flavours_and_metapackages_are_no_releases() {
    let text = whole()
        + &whole_release("6.12.200+deb13-rt", "6.12.200-1")
        + "Package: linux-image-cloud-amd64\nVersion: 9.9-1\nDepends: linux-image-7.4\n\n";
    assert_eq!(index(&text), index(&whole()));
}

#[test]
fn newer_kernels_are_in_two_packages() {
    let text = whole() + &split_release("7.2.13+deb14", "7.2.13-1", ALL_PARTS);
    let index = index(&text);
    let packages = &index.newest_of("7.2", "amd64").unwrap().packages;
    let package = |name: &str| (name.to_owned(), "7.2.13-1".to_owned());
    assert_eq!(
        *packages,
        [
            package("linux-binary-7.2.13+deb14-cloud-amd64"),
            package("linux-modules-7.2.13+deb14-cloud-amd64"),
        ]
    );
}

#[test]
fn a_release_that_lacks_a_package_is_passed_over() {
    for part in ALL_PARTS {
        let text = split_release("7.2.12+deb13", "7.2.12-1~bpo13+1", ALL_PARTS)
            + &split_release("7.2.13+deb14", "7.2.13-1", &[part]);
        assert_eq!(release_of(&index(&text), "7.2"), "7.2.12+deb13-cloud-amd64");
    }
}

#[test]
fn a_package_of_another_version_does_not_complete_a_release() {
    let text = split_release("7.2.13+deb14", "7.2.13-2", &["binary"])
        + "Package: linux-modules-7.2.13+deb14-cloud-amd64\nVersion: 7.2.13-1\n\n";
    assert!(index(&text).newest_of("7.2", "amd64").is_err());
}

#[test]
fn a_series_without_a_complete_release_is_an_error_of_one_line() {
    let text = whole()
        + &split_release("7.0.12+deb13", "7.0.12-1~bpo13+1", &["modules"])
        + &split_release("7.0.13+deb13", "7.0.13-1~bpo13+1", &["binary"]);
    assert_eq!(
        error_of(&index(&text), "7.0"),
        "kernel series 7.0 isn't available for amd64: the archive lists \
         7.0.13+deb13-cloud-amd64 without linux-modules-7.0.13+deb13-cloud-amd64, \
         and no older release of 7.0 is complete; available: 5.10, 6.12, 7.3, 7.4"
    );
    let nothing = index(&split_release("7.0.13+deb13", "7.0.13-1", &[]));
    assert_eq!(
        error_of(&nothing, "7.0"),
        "kernel series 7.0 isn't available for amd64: the archive lists \
         7.0.13+deb13-cloud-amd64 without linux-binary-7.0.13+deb13-cloud-amd64 and \
         linux-modules-7.0.13+deb13-cloud-amd64, and no older release of 7.0 is complete; \
         no other series is available"
    );
}

#[test]
fn oldest_and_newest_are_released_and_complete() {
    let text = whole()
        + &split_release("4.19.1", "4.19.1-1", &["binary"])
        + &split_release("7.2.13+deb14", "7.2.13-1", &["binary"]);
    let index = index(&text);
    assert_eq!(index.oldest_series(), Some("5.10"));
    assert_eq!(index.newest_series(), Some("6.12"));
    // A series that is named may also be a release candidate or come from experimental.
    assert_eq!(release_of(&index, "7.3"), "7.3-rc4-cloud-amd64");
}

#[test]
fn an_unknown_series_lists_those_there_are() {
    assert_eq!(
        error_of(&index(&whole()), "4.4"),
        "the archive has no kernel of series 4.4 for amd64; \
         available: 5.10, 6.12, 7.3, 7.4"
    );
    let empty = index("");
    assert!(error_of(&empty, "6.1").ends_with("no other series is available"));
    assert_eq!(empty.newest_series(), None);
    assert_eq!(empty.oldest_series(), None);
}
