//! What the file of a kernel says of itself: for which machines it is, and which release.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use object::read::elf::{ElfFile32, ElfFile64};

/// What is known of a kernel from its file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Debian's name of the architecture.
    pub(super) deb: Option<&'static str>,
    /// What `uname -r` prints on it.
    pub(super) release: Option<String>,
    /// The size of its pages where it isn't 4 KiB, as in a series' name: `16k`.
    pub(super) pages: Option<&'static str>,
}

pub(super) fn read(file: &Path) -> Result<Facts> {
    let bytes = fs::read(file)
        .with_context(|| format!("can't read the kernel {}; give its path", file.display()))?;
    Ok(facts(&bytes))
}

fn facts(image: &[u8]) -> Facts {
    // The x86 boot protocol: a signature, and where the text with the release is.
    if at(image, 0x202, b"HdrS") {
        let pointer = image
            .get(0x20e..0x210)
            .map(|two| u16::from_le_bytes([two[0], two[1]]));
        let text = pointer.and_then(|pointer| image.get(usize::from(pointer) + 0x200..));
        return Facts {
            deb: Some("amd64"),
            release: text.and_then(first_word),
            pages: None,
        };
    }
    Facts {
        deb: machine(image),
        release: banner(image),
        pages: if at(image, ARM_AT, ARM) {
            pages(image)
        } else {
            None
        },
    }
}

/// The signatures in the headers of arm64 and riscv have one place.
const ARM_AT: usize = 0x38;
const ARM: &[u8] = b"ARM\x64";

fn machine(image: &[u8]) -> Option<&'static str> {
    if at(image, ARM_AT, ARM) {
        return Some("arm64");
    }
    if at(image, ARM_AT, b"RSC\x05") {
        return Some("riscv64");
    }
    use object::{Architecture, Object};
    let machine = if let Ok(file) = ElfFile64::<object::Endianness>::parse(image) {
        file.architecture()
    } else {
        ElfFile32::<object::Endianness>::parse(image)
            .ok()?
            .architecture()
    };
    match machine {
        Architecture::X86_64 => Some("amd64"),
        Architecture::Aarch64 => Some("arm64"),
        Architecture::Riscv64 => Some("riscv64"),
        Architecture::S390x => Some("s390x"),
        Architecture::PowerPc64 => Some("ppc64el"),
        _ => None,
    }
}

/// The flags in the header of arm64: two bits are the size of pages.
fn pages(image: &[u8]) -> Option<&'static str> {
    match image.get(0x18)? >> 1 & 3 {
        2 => Some("16k"),
        3 => Some("64k"),
        _ => None,
    }
}

/// The release in the text that a kernel prints first, if the kernel isn't compressed.
fn banner(image: &[u8]) -> Option<String> {
    const START: &[u8] = b"Linux version ";
    let starts = image.windows(START.len()).enumerate();
    starts
        .filter(|(_, window)| *window == START)
        .find_map(|(place, _)| {
            let word = first_word(&image[place + START.len()..])?;
            word.starts_with(|c: char| c.is_ascii_digit())
                .then_some(word)
        })
}

fn at(image: &[u8], place: usize, signature: &[u8]) -> bool {
    image.get(place..place + signature.len()) == Some(signature)
}

fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|byte| !byte.is_ascii_graphic())?;
    (end > 0).then(|| String::from_utf8_lossy(&text[..end]).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The parts of a kernel for x86 that are looked at.
    pub(crate) fn x86(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x40_u16.to_le_bytes());
        let text = format!("{release} (somebody@somewhere) #1");
        image[0x240..0x240 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    fn arm(flags: u8, text: &str) -> Vec<u8> {
        let mut image = vec![0; 0x100];
        image[0x18] = flags;
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        image.extend_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn x86_says_its_release() {
        let found = facts(&x86("6.12.107+deb13-cloud-amd64"));
        assert_eq!(found.deb, Some("amd64"));
        assert_eq!(found.release.as_deref(), Some("6.12.107+deb13-cloud-amd64"));
        assert_eq!(found.pages, None);
    }

    #[test]
    fn arm64_says_its_release_and_pages() {
        let text = "Linux version %s\0Linux version 7.2.1-mine (a@b) #1";
        for (flags, pages) in [(0x0a, None), (0x0c, Some("16k")), (0x0e, Some("64k"))] {
            let found = facts(&arm(flags, text));
            let expected = Facts {
                deb: Some("arm64"),
                release: Some("7.2.1-mine".into()),
                pages,
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn nothing_is_known_of_other_files() {
        for bytes in [&b""[..], b"MZ", &[0; 0x300]] {
            assert_eq!(facts(bytes), Facts::default());
        }
    }
}
