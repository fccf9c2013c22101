//! The floor's system calls are in the loop's own function, and those of `floor-framed` are not.
//! Otherwise the floor would pay for a `ret` after each system call, like what it is compared with.
//!
//! The test looks for the instruction in the program.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// `syscall`.
#[cfg(target_arch = "x86_64")]
const INSTRUCTION: &[u8] = &[0x0f, 0x05];
/// `svc #0`.
#[cfg(target_arch = "aarch64")]
const INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4];

/// The program's functions whose mangled names hold all of these words, each with the number of its
/// system call instructions.
fn functions(words: &[&str]) -> Vec<(String, usize)> {
    let program = std::fs::read(env!("CARGO_BIN_EXE_aio-bench")).unwrap();
    let file = object::File::parse(&*program).unwrap();
    let mut found = Vec::new();
    for symbol in file.symbols().filter(|it| it.kind() == SymbolKind::Text) {
        let name = symbol.name().unwrap();
        if words.iter().all(|word| name.contains(word)) {
            let section = symbol.section_index().unwrap();
            let section = file.section_by_index(section).unwrap();
            let code = section.data_range(symbol.address(), symbol.size());
            let code = code.unwrap().unwrap().windows(INSTRUCTION.len());
            let instructions = code.filter(|bytes| *bytes == INSTRUCTION).count();
            found.push((name.to_owned(), instructions));
        }
    }
    found
}

#[test]
fn the_loop_of_the_floor_holds_its_system_calls() {
    for engine in ["Floor", "OneByOne"] {
        for call in ["submit", "wait"] {
            let own = functions(&[engine, "Calls", call]);
            assert!(own.is_empty(), "a call isn't inlined: {own:?}");
        }
    }
    // Each of the two has a loop that takes times and one that takes none. Each loop submits and
    // waits.
    // With optimisation the loop is part of its only caller.
    let holder = if cfg!(debug_assertions) {
        "Native"
    } else {
        "AnyEngine"
    };
    let loops = functions(&[holder, "turn"]);
    let whole = loops.iter().filter(|(_, calls)| *calls >= 2).count();
    assert!(whole >= 4, "{loops:?}");
}

#[test]
fn the_framed_floor_has_a_function_for_each_system_call() {
    for call in ["submit", "wait"] {
        let own = functions(&["Framed", "Calls", call]);
        assert!(matches!(own[..], [(_, 1)]), "{own:?}");
    }
}
