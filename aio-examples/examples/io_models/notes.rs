//! What has to be said about the results.

use crate::{
    explain::paragraph,
    run::Figures,
    series::{Measured, Results},
};

/// The notes below the tables.
pub(crate) fn text(results: &Results) -> String {
    let mut notes = vec![
        "Time, CPU time (of all threads, in user space and in the kernel), context switches, \
         latency and system calls are of a run without other work. Other work is of a second run: \
         the part of the time in which the calling thread does other work, and a counter which \
         that work advances. Latency is the mean time from asking for a block, or from sending a \
         message, until the program has it."
            .to_owned(),
        "+: system calls that aren't counted. Threads that hand over results wait for each other \
         with futex. The library of POSIX AIO also makes its reads by itself."
            .to_owned(),
    ];
    let all = || results.on_file.iter().chain(&results.on_pipes);
    for Measured { model, result } in all() {
        if let Err(why) = result {
            notes.push(format!("{}: {why}.", model.title()));
        }
    }
    notes.extend(about_the_file(results));
    notes.push("io_models --explain explains the models.".to_owned());
    let lines = notes
        .iter()
        .map(|note| format!("\n{}", paragraph(note, "")));
    lines.collect()
}

fn about_the_file(results: &Results) -> Option<String> {
    if let Some(errno) = results.not_direct {
        return Some(format!(
            "The file system doesn't allow O_DIRECT ({errno}), so all models read through the page \
             cache. The kernel carries out such reads within io_submit: native AIO is not \
             asynchronous here. --dir chooses another file system."
        ));
    }
    let native = results
        .on_file
        .iter()
        .find(|it| it.model.name == "native AIO");
    let native: &Figures = native?.result.as_ref().ok()?;
    (native.rounds == 0).then(|| {
        "The file system allows O_DIRECT, but carries out reads within io_submit, as file systems \
         in memory do: native AIO is not asynchronous here. --dir chooses another file system."
            .to_owned()
    })
}
