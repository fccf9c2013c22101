//! QEMU's command line for a guest.

use std::{fs, path::Path, process::Command, time::Duration};

use super::Files;
use crate::{
    arch::Platform,
    packages,
    qemu_test::{disk::Disk, kernel::Kernel},
};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accel {
    /// The host's processor.
    Kvm,
    /// QEMU.
    Emulation,
    /// QEMU, with a clock that advances by a nanosecond with each instruction while the guest's
    /// processor is busy. A busy host then doesn't change the times that the guest measures.
    Counted,
}

impl Accel {
    /// What this host offers the guests of a platform. The notice says why /dev/kvm isn't used if
    /// it exists.
    pub(crate) fn offered(platform: &Platform) -> (Self, Option<String>) {
        if platform.host != std::env::consts::ARCH || !Path::new("/dev/kvm").exists() {
            return (Self::Emulation, None);
        }
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm");
        let why_not = match opened {
            Err(error) => Some(error.to_string()),
            // Only x86-64 lists virtualization in /proc/cpuinfo.
            Ok(_) if platform.host == "x86_64" && !has_virtualization() => {
                Some("the processor has neither vmx nor svm".to_owned())
            }
            Ok(_) => None,
        };
        match why_not {
            None => (Self::Kvm, None),
            Some(why) => {
                let notice =
                    format!("notice: /dev/kvm is there but can't be used ({why}): emulating");
                (Self::Emulation, Some(notice))
            }
        }
    }
}

fn has_virtualization() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| {
                line.split_whitespace()
                    .any(|flag| flag == "vmx" || flag == "svm")
            })
    })
}

/// Everything that makes up a guest.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) platform: &'static Platform,
    pub(crate) accel: Accel,
    pub(crate) kernel: &'a Kernel,
    pub(crate) initramfs: &'a Path,
    pub(crate) disks: &'a [Disk],
    /// `aio.NAME=VALUE` words for the program.
    pub(crate) words: &'a [String],
    /// The directory of the libaio through which QEMU reads and writes the disks.
    pub(crate) native: Option<&'a Path>,
}

/// The name of the port that the program reports on.
const PORT: &str = "aio.results";

impl Machine<'_> {
    /// The command that starts it.
    pub(crate) fn command(&self, files: &Files) -> Command {
        let platform = self.platform;
        // QEMU then ends with this process, even if this process is killed.
        let mut qemu = match packages::find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--", platform.qemu.program]);
                command
            }
            None => Command::new(platform.qemu.program),
        };
        if let Some(dir) = self.native {
            qemu.env("LD_LIBRARY_PATH", dir)
                .env("AIO_LIBAIO_COUNTERS", "1");
        }
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        qemu.args(platform.machine).args(["-m", "512", "-smp", "2"]);
        match (self.accel, platform.cpu) {
            (Accel::Kvm, _) => qemu.args(["-accel", "kvm", "-cpu", "host"]),
            (Accel::Emulation, Some(cpu)) => qemu.args(["-accel", "tcg", "-cpu", cpu]),
            (Accel::Emulation, None) => qemu.args(["-accel", "tcg"]),
            (Accel::Counted, cpu) => {
                if let Some(cpu) = cpu {
                    qemu.args(["-cpu", cpu]);
                }
                qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"])
            }
        };
        // oops=panic: after an oops the guest must not go on and pass.
        let mut words = vec![format!("console={} panic=-1 oops=panic", platform.console)];
        words.extend(platform.words.iter().map(|&word| word.to_owned()));
        words.extend_from_slice(self.words);
        qemu.arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.initramfs);
        qemu.args(["-append", &words.join(" ")]);
        let file = |name: &str, path: &Path| {
            format!(
                "file,id={name},path={}",
                comma_doubled(&path.display().to_string())
            )
        };
        qemu.args(["-chardev", &file("console", &files.console())])
            .args(platform.console_device);
        qemu.args(["-chardev", &file("results", &files.results())]);
        qemu.args(["-device", &format!("virtio-serial-{}", platform.bus)]);
        qemu.args([
            "-device",
            &format!("virtserialport,chardev=results,name={PORT}"),
        ]);
        for disk in self.disks {
            let Disk {
                serial,
                block,
                file,
                iops,
            } = disk;
            let path = comma_doubled(&file.display().to_string());
            let throttle = iops
                .map(|iops| format!(",throttling.iops-total={iops}"))
                .unwrap_or_default();
            let native = self.native.map_or("", |_| ",cache=none,aio=native");
            qemu.args([
                "-drive",
                &format!("if=none,id={serial},format=raw,file={path}{throttle}{native}"),
            ]);
            let device = format!(
                "virtio-blk-{},drive={serial},serial={serial},\
                 logical_block_size={block},physical_block_size={block}",
                platform.bus
            );
            qemu.args(["-device", &device]);
        }
        qemu
    }

    /// How long a guest may be silent at first with hardware acceleration. Where that doesn't work,
    /// the guest stands still.
    pub(crate) const KVM_START: Duration = Duration::from_secs(20);
}

/// A comma in a value of QEMU's options is written twice.
fn comma_doubled(text: &str) -> String {
    text.replace(',', ",,")
}
