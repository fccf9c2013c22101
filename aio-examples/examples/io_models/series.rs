//! Runs all models, one after the other.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;

use crate::{
    args::Args,
    blocks::Blocks,
    models::{self, Model, Works},
    pipes::Pipes,
    progress::Progress,
    run::{Figures, Outcome, Purpose, Run},
};

/// What was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) on_file: Vec<Measured>,
    pub(crate) on_pipes: Vec<Measured>,
    pub(crate) blocks: u32,
    pub(crate) messages: u32,
    pub(crate) interval: Duration,
    /// Why the file couldn't be opened with `O_DIRECT`.
    pub(crate) not_direct: Option<Errno>,
}

/// A model, and what was measured of it, or why it can't run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) model: &'static Model,
    pub(crate) result: Result<Figures, String>,
}

pub(crate) fn measure(args: &Args) -> Result<Results> {
    let progress = Progress::new(2 * (models::ON_FILE.len() + models::ON_PIPES.len()));
    progress.say("making the file");
    let blocks = Blocks::make(&args.dir, args.blocks)?;
    let scene = Scene {
        blocks: &blocks,
        messages: args.messages,
        interval: Duration::from_millis(args.interval.into()),
        progress: &progress,
    };
    Ok(Results {
        on_file: scene.all(models::ON_FILE)?,
        on_pipes: scene.all(models::ON_PIPES)?,
        blocks: args.blocks,
        messages: args.messages,
        interval: scene.interval,
        not_direct: blocks.not_direct,
    })
}

/// What models run on.
struct Scene<'a> {
    blocks: &'a Blocks,
    messages: u32,
    interval: Duration,
    progress: &'a Progress,
}

impl Scene<'_> {
    fn all(&self, models: &'static [Model]) -> Result<Vec<Measured>> {
        let measured = models.iter().map(|model| {
            let result = self.both(model).with_context(|| model.title())?;
            Ok(Measured { model, result })
        });
        measured.collect()
    }

    /// Runs a model without and with other work.
    fn both(&self, model: &Model) -> Result<Result<Figures, String>> {
        let mut results = [Purpose::Costs, Purpose::OtherWork]
            .into_iter()
            .map(|purpose| {
                self.progress.say(model.title());
                let result = self.once(model, purpose);
                self.progress.done();
                result
            });
        let (costs, work) = (results.next(), results.next());
        let (Some(costs), Some(work)) = (costs, work) else {
            unreachable!("there are two purposes")
        };
        Ok(match (costs?, work?) {
            (Ok(costs), Ok(work)) => Ok(Figures {
                rounds: work.rounds,
                work: work.work,
                ..costs
            }),
            (Err(refused), _) | (_, Err(refused)) => Err(refused),
        })
    }

    fn once(&self, model: &Model, purpose: Purpose) -> Result<Result<Figures, String>> {
        let mut run = Run::new(purpose);
        let (outcome, feeder) = match model.works {
            Works::OnFile(mode, read) => {
                self.blocks.prepare(mode)?;
                (read(self.blocks, &mut run)?, None)
            }
            Works::OnPipes { nonblocking, read } => {
                let pipes = Pipes::new(nonblocking, self.messages, self.interval)?;
                (read(&pipes, &mut run)?, Some(pipes.finish()?))
            }
        };
        let mut figures = run.into_figures();
        // The thread that feeds the pipes is no part of the model.
        figures.usage = figures.usage.since(feeder.unwrap_or_default());
        Ok(match outcome {
            Outcome::Done => Ok(figures),
            Outcome::Refused(why) => Err(why),
        })
    }
}
