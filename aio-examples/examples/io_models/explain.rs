//! The models in words.

use crate::models::{self, Model, Quadrant};

/// Columns of the text.
pub(crate) const WIDTH: usize = 80;

/// The explanation of all quadrants and models.
pub(crate) fn text() -> String {
    let mut text = paragraph(
        "The literature sorts models of I/O by two questions. Does a call wait until the data are \
         there (blocking), or not (non-blocking)? Does the program get the data by the call \
         itself (synchronous), or is it told later that they are there (asynchronous)?",
        "",
    );
    for quadrant in Quadrant::ALL {
        text += &format!("\n{}\n\n", quadrant.name().to_uppercase());
        text += &paragraph(quadrant.about(), "");
        for model in models::ON_FILE.iter().chain(models::ON_PIPES) {
            if model.quadrant == quadrant {
                text += &about(model);
            }
        }
    }
    text += "\nWHAT CAME AFTER\n\n";
    text += &paragraph(
        "io_uring (since Linux 5.1) has two rings in shared memory, for submissions and \
         completions, and makes more kinds of calls asynchronous, also buffered reads. Many \
         containers and distributions forbid it, which is why native AIO is still needed. It \
         isn't run here.",
        "",
    );
    text
}

fn about(model: &Model) -> String {
    format!("\n  {}:\n", model.title()) + &paragraph(model.about, "    ")
}

/// Text in lines of at most [`WIDTH`] columns, each of which begins with `indent`.
pub(crate) fn paragraph(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width <= WIDTH {
            lines.push(' ');
            columns += 1 + width;
        } else {
            if columns > 0 {
                lines.push('\n');
            }
            lines += indent;
            columns = indent.len() + width;
        }
        lines += word;
    }
    lines + "\n"
}
