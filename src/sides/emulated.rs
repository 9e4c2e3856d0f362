//! The candidate as its runtime computes it, where that is not what its files say.

use super::request::CheckRequest;
use crate::Error;
use crate::checkpoint::{ModelConfig, PoolingMode, SentenceModules, Stage};
use crate::finding::{Finding, Severity, codes};
use crate::runtimes::known::{KnownRuntime, PaddedNan, Stored};
use crate::runtimes::native::{Deviation, SentenceHead};

/// The candidate's configuration and modules as they are computed, and where MLX departs from what the files say.
pub(crate) struct Emulated {
    pub(crate) config: ModelConfig,
    pub(crate) deviations: Vec<Deviation>,
    pub(crate) pooling: Option<PoolingMode>,
    /// The modules behind the pooling that are applied in place of those stated.
    pub(crate) stages: Option<Vec<Stage>>,
    /// A prompt is pooled that the files leave out of the pooling.
    pub(crate) pools_prompt: bool,
}

impl Emulated {
    /// As the request wants it. A pooling that the request itself chooses is nobody's deviation.
    pub(crate) fn new(
        request: &CheckRequest,
        config: &ModelConfig,
        modules: &SentenceModules,
        runtime: &KnownRuntime,
        packed: bool,
    ) -> Self {
        let deviations = runtime.deviations(config, packed);
        let pooling = runtime.pools_always(config).filter(|p| request.pooling.is_none() && modules.pooling != [*p]);
        let stages = runtime.stages_always(config, &modules.stages).filter(|own| *own != modules.stages);
        let pools_prompt = !modules.include_prompt && runtime.computes(config).is_some_and(|m| !m.reads_pooling);
        let mut config = config.clone();
        if request.emulate_mlx {
            deviations.iter().for_each(|deviation| (deviation.change)(&mut config));
        }
        Self { config, deviations, pooling, stages, pools_prompt }
    }

    /// The candidate's head as the request wants it.
    pub(crate) fn head(&self, request: &CheckRequest, stated: &SentenceHead) -> Result<SentenceHead, Error> {
        let mut head = stated.clone();
        if !request.emulate_mlx {
            return Ok(head);
        }
        if let Some(mode) = self.pooling {
            head = head.with_pooling(vec![mode])?;
        }
        if let Some(stages) = &self.stages {
            head = head.with_stages(stages.clone())?;
        }
        Ok(if self.pools_prompt { head.skipping(0) } else { head })
    }
}

/// Rows that the candidate's runtime makes no numbers of, because they are padded.
pub(crate) fn padded_nan(runtime: &KnownRuntime, config: &ModelConfig, stored: Stored<'_>) -> Vec<Finding> {
    let all = runtime.computes(config).map_or(&[][..], |m| m.padded_nan);
    let message = |nan: &PaddedNan| format!("{} {}", runtime.label(), nan.what);
    let finding = |nan| Finding::new(Severity::Warning, &codes::CANDIDATE_PADDED_ROWS, message(nan));
    all.iter().filter(|nan| (nan.when)(stored)).map(finding).collect()
}
