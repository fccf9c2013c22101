//! The table of architectures: how a program for each is built, which kernels it runs on, and which
//! machine QEMU emulates.

use std::env::consts;

use clap::builder::PossibleValuesParser;

use crate::packages::Tool;

/// One kind of user space.
#[derive(Debug)]
pub(crate) struct Arch {
    /// Its name in `--arch` and in reports.
    pub(crate) name: &'static str,
    /// The Rust target.
    pub(crate) triple: &'static str,
    /// Debian's name of it, which packages of libraries have.
    pub(crate) deb: &'static str,
    /// The C cross compiler, which links for it.
    pub(crate) linker: Tool,
    /// Its C library, for linking statically.
    pub(crate) libc: Tool,
    /// The kernels that it runs on.
    pub(crate) platform: &'static Platform,
    /// The series that it runs on when none are named.
    pub(crate) series: Series,
    /// Whether the example without libc in aio-sys supports it.
    pub(crate) no_libc: bool,
}

/// Kernels of one architecture, and the machine that they boot on.
#[derive(Debug)]
pub(crate) struct Platform {
    /// Debian's name of the architecture.
    pub(crate) deb: &'static str,
    /// The end of the names of the kernels' packages.
    pub(crate) flavour: &'static str,
    /// The same for kernels whose pages aren't of 4 KiB, with the pages' size.
    pub(crate) other_pages: &'static [(&'static str, &'static str)],
    pub(crate) qemu: Tool,
    /// QEMU's options for the machine, without its accelerator, memory and devices.
    pub(crate) machine: &'static [&'static str],
    /// The processor that is emulated.
    pub(crate) cpu: Option<&'static str>,
    /// How virtio devices are attached: the end of their names.
    pub(crate) bus: &'static str,
    /// The console's name in the guest.
    pub(crate) console: &'static str,
    /// More words for the kernel's command line.
    pub(crate) words: &'static [&'static str],
    /// QEMU's options that attach the console to the character device `console`.
    pub(crate) console_device: &'static [&'static str],
    /// `std::env::consts::ARCH` on hosts that can run its kernels with hardware acceleration.
    pub(crate) host: &'static str,
}

/// Which series of kernels are the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    /// The long-lived ones and the newest that is released.
    Matrix,
    /// Only this one.
    Only(&'static str),
}

impl Arch {
    /// Whether a program for it is built by the host's own compiler and linker.
    pub(crate) fn is_native(&self) -> bool {
        self.name == consts::ARCH
    }

    /// Whether it is one of those that commands use when none is named.
    pub(crate) fn is_main(&self) -> bool {
        self.series == Series::Matrix
    }
}

/// The suites that kernels and libraries for an architecture, by Debian's name, are looked for in.
/// Each costs an index of some 10 MB, so the architectures beside the main ones have fewer.
pub(crate) fn suites(deb_arch: &str) -> &'static [&'static str] {
    if main().any(|arch| arch.deb == deb_arch) {
        &[
            "bullseye",
            "bookworm",
            "trixie",
            "trixie-backports",
            "sid",
            "experimental",
        ]
    } else {
        &["bookworm", "trixie", "sid"]
    }
}

/// A series that the archive has for all architectures: Debian's current stable release has it.
pub(crate) const STABLE_SERIES: &str = "6.12";
const STABLE: Series = Series::Only(STABLE_SERIES);
const SERIAL: &[&str] = &["-serial", "chardev:console"];

static AMD64: Platform = Platform {
    deb: "amd64",
    flavour: "cloud-amd64",
    other_pages: &[],
    qemu: Tool {
        program: "qemu-system-x86_64",
        packages: &["qemu-system-x86"],
    },
    machine: &["-machine", "q35"],
    // Without cmpxchg16b: the kernel's memory allocator uses that instruction if there is one, and
    // on QEMU 7.2 the kernel then sometimes panics there, with garbage in the flags.
    cpu: Some("max,-cx16"),
    bus: "pci",
    console: "ttyS0",
    // The kernel tests the timer, and on a busy host the emulated timer can be too late.
    words: &["no_timer_check"],
    console_device: SERIAL,
    host: "x86_64",
};

static ARM64: Platform = Platform {
    deb: "arm64",
    flavour: "cloud-arm64",
    other_pages: &[("16k", "arm64-16k")],
    qemu: Tool {
        program: "qemu-system-aarch64",
        packages: &["qemu-system-arm"],
    },
    machine: &["-machine", "virt"],
    // It has the atomic instructions of ARMv8.1 and runs 32-bit programs. With `max`, newer
    // versions of QEMU have features that old kernels can't start with.
    cpu: Some("neoverse-n1"),
    bus: "pci",
    console: "ttyAMA0",
    words: &[],
    console_device: SERIAL,
    host: "aarch64",
};

static RISCV64: Platform = Platform {
    deb: "riscv64",
    flavour: "riscv64",
    other_pages: &[],
    qemu: Tool {
        program: "qemu-system-riscv64",
        packages: &["qemu-system-riscv", "qemu-system-misc"],
    },
    machine: &["-machine", "virt"],
    cpu: None,
    bus: "pci",
    console: "ttyS0",
    words: &[],
    console_device: SERIAL,
    host: "riscv64",
};

static S390X: Platform = Platform {
    deb: "s390x",
    flavour: "s390x",
    other_pages: &[],
    qemu: Tool {
        program: "qemu-system-s390x",
        packages: &["qemu-system-s390x", "qemu-system-misc"],
    },
    machine: &["-machine", "s390-ccw-virtio"],
    cpu: None,
    bus: "ccw",
    console: "ttysclp0",
    words: &[],
    console_device: &["-device", "sclpconsole,chardev=console"],
    host: "s390x",
};

static PPC64EL: Platform = Platform {
    deb: "ppc64el",
    flavour: "powerpc64le",
    other_pages: &[],
    qemu: Tool {
        program: "qemu-system-ppc64",
        packages: &["qemu-system-ppc"],
    },
    machine: &["-machine", "pseries"],
    cpu: None,
    bus: "pci",
    console: "hvc0",
    words: &[],
    console_device: SERIAL,
    host: "powerpc64",
};

static ALL: [Arch; 7] = [
    Arch {
        name: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        deb: "amd64",
        linker: Tool {
            program: "x86_64-linux-gnu-gcc",
            packages: &["gcc-x86-64-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/x86_64-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-amd64-cross"],
        },
        platform: &AMD64,
        series: Series::Matrix,
        no_libc: true,
    },
    Arch {
        name: "aarch64",
        triple: "aarch64-unknown-linux-gnu",
        deb: "arm64",
        linker: Tool {
            program: "aarch64-linux-gnu-gcc",
            packages: &["gcc-aarch64-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/aarch64-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-arm64-cross"],
        },
        platform: &ARM64,
        series: Series::Matrix,
        no_libc: true,
    },
    Arch {
        name: "riscv64",
        triple: "riscv64gc-unknown-linux-gnu",
        deb: "riscv64",
        linker: Tool {
            program: "riscv64-linux-gnu-gcc",
            packages: &["gcc-riscv64-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/riscv64-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-riscv64-cross"],
        },
        platform: &RISCV64,
        series: STABLE,
        no_libc: false,
    },
    Arch {
        name: "s390x",
        triple: "s390x-unknown-linux-gnu",
        deb: "s390x",
        linker: Tool {
            program: "s390x-linux-gnu-gcc",
            packages: &["gcc-s390x-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/s390x-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-s390x-cross"],
        },
        platform: &S390X,
        series: STABLE,
        no_libc: false,
    },
    Arch {
        name: "powerpc64le",
        triple: "powerpc64le-unknown-linux-gnu",
        deb: "ppc64el",
        linker: Tool {
            program: "powerpc64le-linux-gnu-gcc",
            packages: &["gcc-powerpc64le-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/powerpc64le-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-ppc64el-cross"],
        },
        platform: &PPC64EL,
        series: STABLE,
        no_libc: false,
    },
    Arch {
        name: "i686",
        triple: "i686-unknown-linux-gnu",
        deb: "i386",
        linker: Tool {
            program: "i686-linux-gnu-gcc",
            packages: &["gcc-i686-linux-gnu"],
        },
        libc: Tool {
            program: "/usr/i686-linux-gnu/lib/libc.a",
            packages: &["libc6-dev-i386-cross"],
        },
        platform: &AMD64,
        series: STABLE,
        no_libc: false,
    },
    Arch {
        name: "armhf",
        triple: "armv7-unknown-linux-gnueabihf",
        deb: "armhf",
        linker: Tool {
            program: "arm-linux-gnueabihf-gcc",
            packages: &["gcc-arm-linux-gnueabihf"],
        },
        libc: Tool {
            program: "/usr/arm-linux-gnueabihf/lib/libc.a",
            packages: &["libc6-dev-armhf-cross"],
        },
        platform: &ARM64,
        series: STABLE,
        no_libc: false,
    },
];

/// All of them, the main ones first.
pub(crate) fn all() -> &'static [Arch] {
    &ALL
}

/// The main ones.
pub(crate) fn main() -> impl Iterator<Item = &'static Arch> {
    all().iter().filter(|arch| arch.is_main())
}

/// What an option takes that names architectures.
pub(crate) fn values() -> PossibleValuesParser {
    let names = all().iter().map(|arch| arch.name);
    names.chain([EVERY_ONE]).collect::<Vec<_>>().into()
}

/// The value of such an option that stands for all architectures.
const EVERY_ONE: &str = "all";

/// The architectures that such an option names, each once, in the table's order.
pub(crate) fn named(names: &[String]) -> Vec<&'static Arch> {
    let named = |arch: &&Arch| {
        names
            .iter()
            .any(|name| name == EVERY_ONE || name == arch.name)
    };
    all().iter().filter(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &[&str]) -> Vec<&'static str> {
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        named(&asked).iter().map(|arch| arch.name).collect()
    }

    #[test]
    fn architectures_are_named_one_by_one_or_all_together() {
        assert_eq!(names(&["s390x", "aarch64", "s390x"]), ["aarch64", "s390x"]);
        let every: Vec<&str> = all().iter().map(|arch| arch.name).collect();
        assert_eq!(names(&["all"]), every);
        assert_eq!(names(&["armhf", "all"]), every);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn the_main_ones_come_first() {
        let main: Vec<&str> = main().map(|arch| arch.name).collect();
        assert_eq!(main, ["x86_64", "aarch64"]);
        assert_eq!(
            all()[..main.len()]
                .iter()
                .filter(|arch| arch.is_main())
                .count(),
            main.len()
        );
    }
}
