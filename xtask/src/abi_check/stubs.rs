//! The instructions of each call, as the disassembler of the target's binutils shows them.

use std::{fmt, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

use crate::{arch::Arch, process};

const CALLS: [&str; 6] = [
    "io_setup",
    "io_destroy",
    "io_submit",
    "io_cancel",
    "io_getevents",
    "io_pgetevents",
];

/// What a stub on an architecture may consist of.
struct Rules {
    arch: &'static str,
    /// The instruction that enters the kernel.
    call: &'static str,
    /// Moves of registers and numbers, and arithmetic on them, but no access to memory.
    allowed: &'static [&'static str],
    /// How an operand in memory is written.
    memory: char,
}

static RULES: [Rules; 2] = [
    Rules {
        arch: "x86_64",
        call: "syscall",
        allowed: &["mov", "xor", "neg", "cmp", "set", "cmov", "ret"],
        memory: '(',
    },
    Rules {
        arch: "aarch64",
        call: "svc",
        allowed: &[
            "mov", "neg", "cmp", "cmn", "cset", "csel", "cneg", "csneg", "csinc", "ret",
        ],
        memory: '[',
    },
];

/// The instructions of one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    name: String,
    instructions: Vec<String>,
    rules: &'static str,
}

/// The instructions of all calls in the program. Empty if the architecture has no rules here.
pub(crate) fn of(arch: &Arch, program: &Path) -> Result<Vec<Stub>> {
    let Some(rules) = RULES.iter().find(|rules| rules.arch == arch.name) else {
        return Ok(Vec::new());
    };
    let objdump = if arch.is_native() {
        "objdump".to_owned()
    } else {
        arch.linker.program.replace("gcc", "objdump")
    };
    let bytes = fs::read(program).with_context(|| format!("can't read {}", program.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("in {}", program.display()))?;
    CALLS
        .iter()
        .map(|call| {
            let symbol = format!("stub_{call}");
            let symbol = file
                .symbol_by_name(&symbol)
                .with_context(|| format!("{} has no function {symbol}", program.display()))?;
            let (start, end) = (symbol.address(), symbol.address() + symbol.size());
            let mut command = Command::new(&objdump);
            command
                .env("LC_ALL", "C")
                .args(["-d", "--no-show-raw-insn"])
                .args([
                    format!("--start-address={start}"),
                    format!("--stop-address={end}"),
                ])
                .arg(program);
            let text = process::output(&mut command, Duration::from_secs(60))?;
            Ok(Stub {
                name: (*call).to_owned(),
                instructions: instructions(&text),
                rules: rules.arch,
            })
        })
        .collect()
}

/// The instructions in the disassembler's output: the lines `address: <tab> instruction`, without
/// the remarks behind them.
fn instructions(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter_map(|(_, rest)| {
            let marks = [" # ", " ; ", "//"];
            marks
                .iter()
                .try_fold(rest, |rest, mark| rest.split(mark).next())
        })
        .map(|instruction| instruction.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

impl Stub {
    /// The instructions that shouldn't be in it, as sentences.
    pub(crate) fn faults(&self) -> Vec<String> {
        let rules = RULES
            .iter()
            .find(|rules| rules.arch == self.rules)
            .expect("it was made by these rules");
        let mut faults = Vec::new();
        let mut calls = 0;
        for instruction in &self.instructions {
            let mnemonic = instruction.split(' ').next().unwrap_or_default();
            if mnemonic == rules.call {
                calls += 1;
            } else if instruction.contains(rules.memory)
                || !rules
                    .allowed
                    .iter()
                    .any(|allowed| mnemonic.starts_with(allowed))
            {
                faults.push(format!("{} has the instruction `{instruction}`", self.name));
            }
        }
        if calls != 1 {
            faults.push(format!("{} enters the kernel {calls} times", self.name));
        }
        if self
            .instructions
            .last()
            .is_none_or(|last| !last.starts_with("ret"))
        {
            faults.push(format!("{} doesn't end with its return", self.name));
        }
        faults
    }
}

impl fmt::Display for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.name)?;
        self.instructions
            .iter()
            .try_for_each(|instruction| write!(f, "\n      {instruction}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Stub, instructions};

    fn faults(rules: &'static str, text: &str) -> Vec<String> {
        let text: String = text
            .lines()
            .map(|line| format!("  1000:\t{}\n", line.trim()))
            .collect();
        let stub = Stub {
            name: "call".to_owned(),
            instructions: instructions(&text),
            rules,
        };
        stub.faults()
    }

    #[test]
    fn a_call_and_what_loads_and_checks_is_right() {
        let x86 = "mov    $0xd1,%eax\nsyscall\ncmp    $0xf,%rax  # remark\ncmovb  %rax,%rdx\nret";
        assert!(faults("x86_64", x86).is_empty());
        let arm = "mov\tw8, #0x2 // #2\nsvc\t#0x0\ncneg\tx1, x0, hi ; remark\nret";
        assert!(faults("aarch64", arm).is_empty());
    }

    #[test]
    fn calls_and_memory_are_found() {
        for (rules, line) in [
            ("x86_64", "call 1234 <other>"),
            ("x86_64", "push %rbx"),
            ("x86_64", "mov %rax,0x8(%rbx)"),
            ("x86_64", "jmp 1234"),
        ] {
            let found = faults(rules, &format!("{line}\nsyscall\nret"));
            assert_eq!(found, [format!("call has the instruction `{line}`")]);
        }
        for line in [
            "bl 1234 <other>",
            "stp x29, x30, [sp, #-16]!",
            "str x0, [x8]",
            "ldr x0, [x8]",
        ] {
            let found = faults("aarch64", &format!("{line}\nsvc #0x0\nret"));
            assert_eq!(found, [format!("call has the instruction `{line}`")]);
        }
    }

    #[test]
    fn it_enters_the_kernel_once_and_returns() {
        assert_eq!(faults("x86_64", "ret"), ["call enters the kernel 0 times"]);
        assert_eq!(
            faults("x86_64", "syscall\nsyscall\nret"),
            ["call enters the kernel 2 times"]
        );
        assert_eq!(
            faults("x86_64", "syscall"),
            ["call doesn't end with its return"]
        );
    }
}
