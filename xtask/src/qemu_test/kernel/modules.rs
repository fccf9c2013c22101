//! The dependencies of modules, and the order in which to load them.

use std::collections::{BTreeMap, BTreeSet};

use object::read::{Object, ObjectSection};

/// The names of the modules that have to be loaded before this one: its dependencies (`depends`)
/// and its soft dependencies (`softdep`), from its `.modinfo` section.
pub(super) fn needs(module: &[u8]) -> Vec<String> {
    with_info(module, needs_of_info).unwrap_or_default()
}

/// The kernel's release that a module is built for, from its `vermagic`.
pub(super) fn release(module: &[u8]) -> Option<String> {
    with_info(module, release_of_info)?
}

fn with_info<T>(module: &[u8], read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let file = object::File::parse(module).ok()?;
    let section = file.section_by_name(".modinfo")?;
    Some(read(section.data().ok()?))
}

fn release_of_info(info: &[u8]) -> Option<String> {
    info.split(|&byte| byte == 0).find_map(|entry| {
        let entry = String::from_utf8_lossy(entry);
        let words = entry.strip_prefix("vermagic=")?;
        words.split_whitespace().next().map(str::to_owned)
    })
}

fn needs_of_info(info: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for entry in info.split(|&byte| byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        if let Some(list) = entry.strip_prefix("depends=") {
            names.extend(
                list.split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
            );
        } else if let Some(list) = entry.strip_prefix("softdep=pre:") {
            let before = list.split("post:").next().unwrap_or_default();
            names.extend(before.split_whitespace().map(str::to_owned));
        }
    }
    names
        .into_iter()
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// The wanted modules and those that they need, each after the ones that it needs.
pub(super) fn order(needs: &BTreeMap<String, Vec<String>>, wanted: &[&str]) -> Vec<String> {
    fn visit(
        name: &str,
        needs: &BTreeMap<String, Vec<String>>,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<String>,
    ) {
        // It isn't a module, so it is built in.
        let Some(first) = needs.get(name) else { return };
        if seen.insert(name.to_owned()) {
            for name in first {
                visit(name, needs, seen, order);
            }
            order.push(name.to_owned());
        }
    }
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for name in wanted {
        visit(name, needs, &mut seen, &mut order);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_module_says() {
        let info = b"license=GPL\0softdep=pre: crc32c post: later\0depends=mbcache,jbd2,crc-16\0";
        assert_eq!(needs_of_info(info), ["crc32c", "mbcache", "jbd2", "crc_16"]);
        assert!(needs_of_info(b"depends=\0name=a\0").is_empty());
        assert!(needs(b"not a module").is_empty());
    }

    #[test]
    fn reads_what_a_module_is_built_for() {
        let info = b"name=ext4\0vermagic=6.12.1-mine SMP preempt mod_unload \0depends=\0";
        assert_eq!(release_of_info(info).as_deref(), Some("6.12.1-mine"));
        assert_eq!(release_of_info(b"name=ext4\0"), None);
    }

    #[test]
    fn each_module_comes_after_what_it_needs() {
        let needs = [
            ("virtio_pci", vec!["virtio", "virtio_ring"]),
            ("virtio_ring", vec!["virtio"]),
            ("virtio", vec![]),
            ("virtio_blk", vec!["virtio_ring", "virtio", "built_in"]),
        ];
        let needs =
            needs.map(|(name, list)| (name.into(), list.iter().map(|&n| n.into()).collect()));
        let order = order(&needs.into(), &["virtio_pci", "virtio_blk", "absent"]);
        assert_eq!(order, ["virtio", "virtio_ring", "virtio_pci", "virtio_blk"]);
    }
}
