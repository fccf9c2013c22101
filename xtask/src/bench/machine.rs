//! The machine that the figures were measured on.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde::Serialize;

use crate::{process, workspace};

/// What matters for the figures about a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) vendor: Vendor,
    pub(crate) cores: usize,
    /// Whether it says that it is a virtual machine.
    pub(crate) hypervisor: bool,
    pub(crate) kernel: String,
    /// What the kernel does against attacks that make the price of a system call.
    pub(crate) mitigations: Vec<Mitigation>,
    pub(crate) arch: &'static str,
    pub(crate) file_system: Option<FileSystem>,
    /// How many processes ran on average in the minute before.
    pub(crate) load: Option<f64>,
    pub(crate) rustc: Option<String>,
    pub(crate) commit: Option<String>,
}

/// Who made the processor, as far as it matters for the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Vendor {
    Amd,
    Intel,
    Other,
}

/// What the kernel does against one kind of attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mitigation {
    /// The name of the file in `/sys/devices/system/cpu/vulnerabilities`.
    pub(crate) name: &'static str,
    pub(crate) state: String,
}

/// Where the real disk's file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileSystem {
    pub(crate) kind: String,
    pub(crate) device: Option<Device>,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) model: Option<String>,
    pub(crate) rotational: Option<bool>,
    pub(crate) scheduler: Option<String>,
}

impl Machine {
    /// This machine, with the file system of a file or directory.
    pub(crate) fn look(disk: &Path) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let said = |command: &mut Command| {
            let text = process::output(command, Duration::from_secs(20)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            cpu: cpu(&cpuinfo),
            vendor: vendor(&cpuinfo),
            cores: thread::available_parallelism().map_or(1, usize::from),
            hypervisor: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned()),
            mitigations: mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
            arch: std::env::consts::ARCH,
            file_system: FileSystem::of(disk),
            load: load.and_then(|text| text.split(' ').next()?.parse().ok()),
            rustc: said(Command::new("rustc").arg("--version")),
            commit: said(
                Command::new("git")
                    .args(["describe", "--always", "--dirty"])
                    .current_dir(workspace::root()),
            ),
        }
    }

    /// The lines that describe it.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let virtual_one = if self.hypervisor { ", virtual" } else { "" };
        let mut lines = vec![
            ("CPU", format!("{} ({}{virtual_one})", self.cpu, self.arch)),
            ("cores", self.cores.to_string()),
            ("kernel", self.kernel.clone()),
        ];
        lines.extend(
            self.mitigations
                .iter()
                .map(|mitigation| (mitigation.name, mitigation.state.clone())),
        );
        if let Some(system) = &self.file_system {
            lines.push(("file system", system.kind.clone()));
            if let Some(device) = &system.device {
                lines.push(("block device", device.text()));
            }
        }
        if let Some(load) = self.load {
            let busy = if load >= 0.5 {
                ", which is NOT idle"
            } else {
                ""
            };
            lines.push(("load before the run", format!("{load:.2}{busy}")));
        }
        lines.extend(self.rustc.clone().map(|rustc| ("compiler", rustc)));
        lines.extend(self.commit.clone().map(|commit| ("commit", commit)));
        lines
    }
}

impl Device {
    fn text(&self) -> String {
        let mut words = vec![self.name.clone()];
        words.extend(self.model.clone());
        match self.rotational {
            Some(true) => words.push("rotational".into()),
            Some(false) => words.push("not rotational".into()),
            None => {}
        }
        words.extend(
            self.scheduler
                .as_ref()
                .map(|name| format!("scheduler {name}")),
        );
        words.join(", ")
    }

    /// The device with these numbers, such as `254:0`.
    fn with_numbers(numbers: &str) -> Option<Self> {
        let link = Path::new("/sys/dev/block").join(numbers);
        let dir = fs::canonicalize(link).ok()?;
        let name = dir.file_name()?.to_string_lossy().into_owned();
        // A partition's directory is within that of its disk, and has no queue of its own.
        let disk = if dir.join("partition").exists() {
            dir.parent()?.to_owned()
        } else {
            dir
        };
        let read = |file: &str| {
            let text = fs::read_to_string(disk.join(file)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Some(Self {
            name,
            model: read("device/model"),
            rotational: read("queue/rotational").map(|text| text == "1"),
            scheduler: read("queue/scheduler").map(|text| chosen(&text).to_owned()),
        })
    }
}

impl FileSystem {
    fn of(disk: &Path) -> Option<Self> {
        let dir = fs::canonicalize(disk).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (kind, numbers) = mount(&mounts, &dir)?;
        Some(Self {
            kind: kind.to_owned(),
            device: Device::with_numbers(numbers),
        })
    }
}

/// The scheduler in use: the one in brackets in `mq-deadline [none]`.
fn chosen(text: &str) -> &str {
    let inner = |text: &str| text.find('[').zip(text.find(']'));
    inner(text).map_or(text, |(from, to)| &text[from + 1..to])
}

/// The type and the device's numbers of the file system that a directory is on.
fn mount<'a>(mounts: &'a str, dir: &Path) -> Option<(&'a str, &'a str)> {
    let entries = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut words = mount.split(' ');
        let numbers = words.nth(2)?;
        let point = words.nth(1)?.replace("\\040", " ");
        dir.starts_with(&point)
            .then(|| Some((point.len(), (system.split(' ').next()?, numbers))))?
    });
    // Of several mounts at one point the last is on top, and max_by_key takes the last.
    Some(entries.max_by_key(|(length, _)| *length)?.1)
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The CPU's name, or its numbers on machines where /proc/cpuinfo has no name.
fn cpu(cpuinfo: &str) -> String {
    let named = ["model name", "Model", "cpu", "uarch"]
        .iter()
        .find_map(|name| field(cpuinfo, name));
    let numbered = || {
        let implementer = field(cpuinfo, "CPU implementer")?;
        Some(format!(
            "implementer {implementer}, part {}",
            field(cpuinfo, "CPU part")?
        ))
    };
    named
        .map(str::to_owned)
        .or_else(numbered)
        .unwrap_or_else(|| "unknown".into())
}

fn vendor(cpuinfo: &str) -> Vendor {
    match field(cpuinfo, "vendor_id") {
        // Hygon's processors are AMD's.
        Some("AuthenticAMD" | "HygonGenuine") => Vendor::Amd,
        Some("GenuineIntel") => Vendor::Intel,
        _ => Vendor::Other,
    }
}

/// The mitigations that change what a system call and a return cost, where the kernel knows them.
fn mitigations(dir: &Path) -> Vec<Mitigation> {
    ["spec_rstack_overflow", "retbleed", "spectre_v2"]
        .into_iter()
        .filter_map(|name| {
            let state = fs::read_to_string(dir.join(name)).ok()?;
            let state = state.trim().to_owned();
            Some(Mitigation { name, state })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendor_is_found() {
        assert_eq!(
            vendor("processor\t: 0\nvendor_id\t: AuthenticAMD\n"),
            Vendor::Amd
        );
        assert_eq!(vendor("vendor_id\t: GenuineIntel\n"), Vendor::Intel);
        assert_eq!(vendor("CPU implementer : 0x41\n"), Vendor::Other);
    }

    #[test]
    fn mitigations_are_those_that_the_kernel_knows() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("spectre_v2"), "Mitigation: Retpolines\n").unwrap();
        fs::write(dir.path().join("meltdown"), "Not affected\n").unwrap();
        let expected = Mitigation {
            name: "spectre_v2",
            state: "Mitigation: Retpolines".into(),
        };
        assert_eq!(mitigations(dir.path()), [expected]);
    }

    #[test]
    fn the_cpu_has_a_name_or_numbers() {
        assert_eq!(
            cpu("processor\t: 0\nmodel name\t: Xeon(R) X\n"),
            "Xeon(R) X"
        );
        let arm = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n";
        assert_eq!(cpu(arm), "implementer 0x41, part 0xd0c");
        assert_eq!(cpu(""), "unknown");
    }

    #[test]
    fn the_longest_mount_point_counts_and_the_last_of_those() {
        let mounts = "\
21 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 21 0:25 / /dev/shm rw - tmpfs tmpfs rw
31 21 8:1 / /home/a\\040b rw shared:1 - xfs /dev/sda1 rw
32 21 8:2 / /home/a\\040b rw - btrfs /dev/sda2 rw
";
        let of = |dir: &str| mount(mounts, Path::new(dir));
        assert_eq!(of("/home/a"), Some(("ext4", "254:0")));
        assert_eq!(of("/dev/shm/x"), Some(("tmpfs", "0:25")));
        assert_eq!(of("/home/a b/c"), Some(("btrfs", "8:2")));
        assert_eq!(mount("", Path::new("/")), None);
    }

    #[test]
    fn the_scheduler_in_use_is_in_brackets() {
        assert_eq!(chosen("[none] mq-deadline"), "none");
        assert_eq!(chosen("none"), "none");
    }

    #[test]
    fn a_busy_machine_is_told() {
        let mut machine = Machine::look(Path::new("/"));
        assert!(machine.lines().iter().any(|(what, _)| *what == "kernel"));
        machine.load = Some(1.5);
        let text = format!("{:?}", machine.lines());
        assert!(text.contains("NOT idle"), "{text}");
        machine.load = Some(0.1);
        assert!(!format!("{:?}", machine.lines()).contains("NOT idle"));
    }
}
