//! The variable that names the only seed of a campaign.

use std::{env, process::Command};

use aio_sim::Campaign;

#[test]
fn any_seed_can_be_the_only_one() {
    if let Ok(seed) = env::var("AIO_SIM_SEED") {
        let report = Campaign::new(0..3)
            .without_shrinking()
            .run(|_| Err("fails".to_owned()));
        assert_eq!(
            report.failure().expect("it was run").seed().to_string(),
            seed
        );
        return;
    }
    for seed in [0, 17, u64::MAX] {
        let mut itself = Command::new(env::current_exe().unwrap());
        let ended = itself
            .env("AIO_SIM_SEED", seed.to_string())
            .output()
            .unwrap();
        assert!(
            ended.status.success(),
            "{seed}: {}",
            String::from_utf8_lossy(&ended.stdout)
        );
    }
}
