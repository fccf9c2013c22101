//! qemu-img: reads of an image, and a conversion whose result is compared.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Lab, text};
use crate::packages::Tool;

pub(super) const TOOLS: [Tool; 1] = [Tool {
    program: "qemu-img",
    packages: &["qemu-utils"],
}];

const LIMIT: Duration = Duration::from_secs(120);

/// Bytes of the image.
const LENGTH: usize = 32 << 20;
/// Reads of the benchmark.
const READS: usize = 4000;

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    let (file, copy) = (lab.path("image"), lab.path("copy"));
    let contents: Vec<u8> = (0..LENGTH / 8)
        .flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    fs::write(&file, &contents).with_context(|| format!("can't write {}", file.display()))?;
    lab.check("qemu-img bench", |lab| {
        let mut bench = Command::new("qemu-img");
        bench
            .args(["bench", "-f", "raw", "-t", "none", "-i", "native", "-c"])
            .arg(READS.to_string())
            .arg(&file);
        Ok(lab.run(&mut bench, LIMIT, READS)?.to_string())
    })?;
    fs::write(&copy, vec![1; LENGTH])?;
    lab.check("qemu-img convert", |lab| {
        let image = |path| -> Result<String> {
            Ok(format!(
                "driver=raw,file.driver=file,file.aio=native,cache.direct=on,file.filename={}",
                text(path)?
            ))
        };
        let mut convert = Command::new("qemu-img");
        convert
            .args(["convert", "-n", "-W", "--image-opts", "--target-image-opts"])
            .args([image(&file)?, image(&copy)?]);
        let counts = lab.run(&mut convert, LIMIT, 2)?;
        ensure!(fs::read(&copy)? == contents, "the copy differs");
        Ok(counts.to_string())
    })
}
