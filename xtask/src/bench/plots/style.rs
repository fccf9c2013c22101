//! The style of plots, on light and dark backgrounds.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(super) const TITLE: i32 = 16;
pub(super) const TEXT: i32 = 13;
/// The colour where the style sheet isn't used. It is visible on light and dark backgrounds.
pub(super) const INK: RGBColor = RGBColor(0x76, 0x7c, 0x85);
pub(super) const GRID: RGBAColor = RGBAColor(0x80, 0x80, 0x80, 0.25);

/// Text is dark on light backgrounds and light on dark ones. The other colours fit both.
const SHEET: &str = "<style>\
@media (prefers-color-scheme:light){text{fill:#1f2328}}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}}\
</style>";

/// How an engine is drawn.
pub(super) struct Look {
    pub(super) colour: RGBColor,
    /// Width of its lines.
    pub(super) width: u32,
    pub(super) marker: Marker,
}

#[derive(Clone, Copy)]
pub(super) enum Marker {
    Circle,
    Triangle,
    Cross,
}

/// The colours have a contrast of at least 3 to white and to the usual dark background of pages.
pub(super) fn look(engine: &str) -> Look {
    let (colour, marker) = match engine {
        "floor" => (0x7d_85_90, Marker::Cross),
        "floor-single" => (0xa0_8c_70, Marker::Cross),
        "aio-safe-lane" => (0x1f_6f_eb, Marker::Circle),
        "aio-safe-lane-future" => (0x82_50_df, Marker::Circle),
        "aio-safe-batch" => (0x3d_8f_d1, Marker::Circle),
        "aio-safe-single" => (0x0e_9a_a7, Marker::Circle),
        "aio-safe-future" => (0xc0_5f_d8, Marker::Circle),
        "aio-safe-batch-future" => (0xa8_55_f7, Marker::Circle),
        "libaio" => (0x9a_67_00, Marker::Cross),
        "io-uring" => (0xe8_59_0c, Marker::Triangle),
        "compio" => (0xb5_89_00, Marker::Triangle),
        "tokio-fs" => (0xd6_33_6c, Marker::Triangle),
        "thread-pool" => (0x2d_a4_4e, Marker::Cross),
        "posix-aio" => (0xcf_22_2e, Marker::Cross),
        "posix-aio-fds" => (0xbf_39_89, Marker::Cross),
        "linux-aio-tokio" => (0x7c_8c_03, Marker::Triangle),
        _ => (0x80_80_80, Marker::Triangle),
    };
    let [_, red, green, blue] = u32::to_be_bytes(colour);
    Look {
        colour: RGBColor(red, green, blue),
        width: match engine {
            engine if engine.starts_with("aio-safe-lane") => 3,
            engine if engine.starts_with("aio-safe") => 2,
            _ => 1,
        },
        marker,
    }
}

/// Text that begins at, is centred on or ends at a point.
pub(super) fn text(size: i32, across: HPos) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_text_style(&(1, 1))
        .color(&INK)
        .pos(Pos::new(across, VPos::Center))
}

/// Adds the style sheet to what was drawn.
pub(super) fn styled(svg: &str) -> String {
    let inside = svg
        .find("<svg")
        .and_then(|start| Some(start + svg[start..].find('>')? + 1));
    let (head, rest) = svg.split_at(inside.unwrap_or(0));
    format!("{head}\n{SHEET}{rest}")
}
