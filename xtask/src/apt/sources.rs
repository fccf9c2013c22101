//! Where the machine's own apt gets Debian from: both formats of `/etc/apt/sources.list` and the
//! files of `/etc/apt/sources.list.d`.

use std::{fs, path::Path};

use anyhow::{Result, bail};

/// Suites that only Debian's own archive has by these names.
const SUITES: [&str; 11] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "unstable",
    "testing",
    "stable",
    "oldstable",
    "oldoldstable",
    "experimental",
];

/// A Debian archive: its address, and the key that apt checks its signatures with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) uri: String,
    /// A keyring's path, or a key itself with its line breaks, as in the `Signed-By` field.
    pub(crate) signed_by: Option<String>,
    /// Whether the user's apt accepts this archive without signatures.
    pub(crate) trusted: bool,
}

impl Mirror {
    /// The named archive, or the one that the system's apt gets Debian from.
    pub(crate) fn find(named: Option<&str>) -> Result<Self> {
        let configured = best(&read(Path::new("/etc/apt")));
        match (named, configured) {
            // The system's settings for signatures apply to the system's archive only.
            (Some(uri), Some(found)) if same(uri, &found.uri) => Ok(found),
            (Some(uri), _) => Ok(Self::with_keyring(uri.to_owned(), None)),
            (None, Some(found)) => Ok(found),
            (None, None) => bail!(
                "no Debian archive in apt's configuration (/etc/apt/sources.list, \
                 /etc/apt/sources.list.d); name one with --mirror URI, the address that the \
                 directories dists/ and pool/ are found under"
            ),
        }
    }

    fn with_keyring(uri: String, signed_by: Option<String>) -> Self {
        let signed_by = signed_by.or_else(|| {
            ["gpg", "pgp"]
                .map(|ending| format!("/usr/share/keyrings/debian-archive-keyring.{ending}"))
                .into_iter()
                .find(|path| Path::new(path).exists())
        });
        Self {
            uri,
            signed_by,
            trusted: false,
        }
    }

    /// This archive's suites as a `.sources` file.
    pub(crate) fn sources(&self, suites: &[&str], deb_arch: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nArchitectures: {deb_arch}\n",
            self.uri,
            suites.join(" ")
        );
        if let Some(key) = &self.signed_by {
            text += &format!("Signed-By: {key}\n");
        }
        if self.trusted {
            text += "Trusted: yes\n";
        }
        text
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// One source of packages, of either format.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
    trusted: bool,
}

/// All sources of the system, in apt's own order.
fn read(etc: &Path) -> Vec<Entry> {
    let mut files = vec![etc.join("sources.list")];
    let mut parts: Vec<_> = fs::read_dir(etc.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    parts.sort();
    files.extend(parts);
    let mut entries = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => entries.extend(text.lines().filter_map(one_line)),
            Some("sources") => entries.extend(deb822(&text)),
            _ => {}
        }
    }
    entries
}

/// `deb [option=value …] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    // Not deb-src.
    let rest = rest.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        options
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: option("signed-by").map(|keys| keys.replace(',', " ")),
        trusted: option("trusted") == Some("yes"),
    })
}

/// Stanzas of `Field: value`, with further lines indented.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |name: &str| {
            fields
                .iter()
                .find(|(field, _)| field == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let words = |name| {
            field(name)
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        if field("enabled") == "no" || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        entries.push(Entry {
            uris: words("uris"),
            suites: words("suites"),
            components: words("components"),
            signed_by: Some(field("signed-by").to_owned()).filter(|key| !key.is_empty()),
            trusted: field("trusted") == "yes",
        });
    }
    entries
}

/// The source that is Debian's own archive most likely. Other archives use the names of Debian's
/// suites and components too, so an address with `debian` in it comes first.
fn best(entries: &[Entry]) -> Option<Mirror> {
    let debian = |entry: &&Entry| {
        entry.components.iter().any(|name| name == "main")
            && entry
                .suites
                .iter()
                .any(|suite| SUITES.contains(&suite.as_str()))
    };
    let said = |entry: &&Entry| {
        entry.uris.iter().any(|uri| uri.contains("debian"))
            || entry
                .signed_by
                .as_ref()
                .is_some_and(|key| key.contains("debian-archive"))
    };
    let entry = entries
        .iter()
        .filter(debian)
        .find(said)
        .or_else(|| entries.iter().find(debian))?;
    let uri = entry.uris.first()?.clone();
    let mirror = Mirror::with_keyring(uri, entry.signed_by.clone());
    Some(Mirror {
        trusted: entry.trusted,
        ..mirror
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn found(files: &[(&str, &str)]) -> Option<Mirror> {
        best(&read(etc(files).path()))
    }

    #[test]
    fn finds_the_archive_in_one_line_sources() {
        let text = "# deb http://old.test/debian bookworm main\n\
                    deb-src http://src.test/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://one.test/debian bookworm main\n";
        let mirror = found(&[("sources.list", text)]).unwrap();
        assert_eq!(mirror.uri, "http://one.test/debian");
        assert_eq!(mirror.signed_by.as_deref(), Some("/k.gpg"));
    }

    #[test]
    fn finds_the_archive_in_deb822_sources() {
        let text = "Types: deb\nURIs: http://off.test/debian\nSuites: trixie\nComponents: main\n\
                    Enabled: no\n\nTypes: deb deb-src\n# a remark\nURIs: http://two.test/debian\n\
                    Suites: trixie trixie-updates\nComponents: main\nSigned-By:\n KEY\n .\n KEY\n";
        let mirror = found(&[("sources.list.d/debian.sources", text)]).unwrap();
        assert_eq!(mirror.uri, "http://two.test/debian");
        assert_eq!(mirror.signed_by.as_deref(), Some("\n KEY\n .\n KEY"));
    }

    #[test]
    fn others_that_use_debians_names_come_after_it() {
        let other = "deb http://browser.test/apt stable main\n";
        let debian = "deb http://three.test/debian/ sid main\n";
        let security = "deb http://three.test/debian-security bookworm-security main\n";
        let files = [
            ("sources.list.d/a.list", other),
            ("sources.list.d/b.list", security),
            ("sources.list.d/c.list", debian),
        ];
        assert_eq!(found(&files).unwrap().uri, "http://three.test/debian/");
    }

    #[test]
    fn no_archive_is_none() {
        assert_eq!(
            found(&[(
                "sources.list.d/disabled.list.save",
                "deb http://a.test/debian sid main"
            )]),
            None
        );
        assert_eq!(
            found(&[("sources.list", "deb http://a.test/ubuntu noble main\n")]),
            None
        );
    }

    #[test]
    fn sources_keep_what_checks_the_signatures() {
        let mirror = Mirror {
            uri: "http://four.test/debian".into(),
            signed_by: Some("\n KEY".into()),
            trusted: false,
        };
        let text = mirror.sources(&["sid", "trixie"], "arm64");
        let read = best(&deb822(&text)).unwrap();
        assert_eq!(read, mirror);
        assert!(text.contains("Architectures: arm64") && text.contains("Suites: sid trixie"));
    }
}
