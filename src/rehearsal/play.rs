//! Plays the scenes one after the other on one stage.

use super::cast::Cast;
use super::durations::SCENE_AT_MOST;
use super::fault::Fault;
use super::peer::Peer;
use super::scenes::Scene;
use super::stage::Stage;
use super::tape::{Entry, Party, Tape};
use crate::call::record::HandoffView;
use tokio::time::timeout;

/// What came of a scene.
#[derive(Debug)]
pub struct Played {
    /// Which.
    pub scene: Scene,
    /// Everything that was said, up to the fault if there was one.
    pub entries: Vec<Entry>,
    /// The handoff as Baton reports it, or what went differently from the script.
    pub outcome: Result<HandoffView, Fault>,
}

/// Plays all scenes and shows each as soon as it is over. Stops after the first that went wrong: what it left behind
/// would speak in the next one. Must be called inside a tokio runtime with I/O and time.
///
/// # Errors
/// [`Fault`] if the stage cannot be set up. A fault in a scene is in its [`Played::outcome`].
pub async fn play(mut show: impl FnMut(Played)) -> Result<(), Fault> {
    let tape = Tape::default();
    let mut cast = Cast {
        pbx: Peer::bind(Party::Pbx, tape.clone()).await?,
        agent: Peer::bind(Party::Agent, tape.clone()).await?,
        desk: Peer::bind(Party::Desk, tape.clone()).await?,
    };
    let stage = Stage::open(&cast, tape.clone())?;
    tape.knows(Party::Baton, stage.sip);
    for peer in [&mut cast.pbx, &mut cast.agent, &mut cast.desk] {
        peer.meet(stage.sip);
    }
    for scene in Scene::ALL {
        stage.begin();
        tape.take();
        let over = timeout(SCENE_AT_MOST, scene.play(&stage, &mut cast)).await;
        let outcome = over.unwrap_or_else(|_| {
            Err(Fault::Verdict(format!("the scene was not over after {} s", SCENE_AT_MOST.as_secs())))
        });
        let failed = outcome.is_err();
        show(Played { scene, entries: tape.take(), outcome });
        if failed {
            break;
        }
    }
    Ok(())
}
