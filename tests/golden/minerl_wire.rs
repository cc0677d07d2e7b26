//! Every message of MineRL 1.0's socket protocol, byte by byte, typed from its description and never made by our own code.
//!
//! The client (`envserver/src/minerl/`) and the stand-in server of `tests/` are both held to it. A message is a list of its
//! fields, to be joined; numbers are big-endian. Each frame is a length of four bytes and so many bytes.

// Whoever includes this file uses what it meets, and sees it as its own.
#![allow(dead_code, unreachable_pub)]

/// The fields of a message, in order.
pub type Fields = &'static [&'static [u8]];

// --- From the client ------------------------------------------------------------------------------------------------

/// The first frame of a connection; nothing answers it.
pub const HELLO: Fields = &[
    &[0, 0, 0, 17],       // length
    b"<MalmoEnv0.37.0/>", // with the version of the protocol, 17 bytes at most
];

/// To the main menu; answered by [`ONE`] once it is shown.
pub const QUIT: Fields = &[
    &[0, 0, 0, 7], // length
    b"<Quit/>",
];

/// The first of the two frames that start an episode: HumanSurvival as the policies were trained in it.
pub const MISSION_INIT: Fields = &[
    &[0, 0, 0x06, 0x5f], // length: 1631
    b"<MissionInit xmlns=\"http://ProjectMalmo.microsoft.com\"",
    b" SchemaVersion=\"\" PlatformVersion=\"0.37.0\">",
    b"<Mission>",
    b"<About><Summary>MineRLHumanSurvival-v0</Summary></About>",
    b"<ModSettings><MsPerTick>50</MsPerTick></ModSettings>", // 20 steps a second
    b"<ServerSection>",
    b"<ServerInitialConditions>",
    b"<Time><AllowPassageOfTime>true</AllowPassageOfTime></Time>",
    b"<AllowSpawning>true</AllowSpawning>", // mobs
    b"</ServerInitialConditions>",
    b"<ServerHandlers>",
    b"<DefaultWorldGenerator forceReset=\"true\" generatorOptions=\"\"/>", // a new world, of the token's seed
    b"<ServerQuitWhenAnyAgentFinishes/>",
    b"</ServerHandlers>",
    b"</ServerSection>",
    b"<AgentSection mode=\"Survival\">",
    b"<Name>MineRLAgent0</Name>",
    b"<AgentStart>",
    b"<LowLevelInputs>true</LowLevelInputs>", // keys and mouse
    b"<GuiScale>1</GuiScale>",
    b"<GammaSetting>2.0</GammaSetting>",
    b"<FOVSetting>70.0</FOVSetting>",       // degrees, vertical
    b"<FakeCursorSize>16</FakeCursorSize>", // pixels, drawn into the frame while a screen is open
    b"<DoneOnDeath>true</DoneOnDeath>",
    b"</AgentStart>",
    b"<AgentHandlers>",
    b"<VideoProducer want_depth=\"false\"><Width>640</Width><Height>360</Height></VideoProducer>",
    b"<ObservationFromFullInventory flat=\"false\"/>", // `inventory`
    b"<ObservationFromFullStats/>",                    // life, place and the statistics
    b"<HumanLevelCommands/>",
    b"<CameraCommands/>",
    b"</AgentHandlers>",
    b"</AgentSection>",
    b"</Mission>",
    b"<ExperimentUID>vpt-7</ExperimentUID>", // as in the token
    b"<ClientRole>0</ClientRole>",
    b"<ClientAgentConnection>", // Malmo's own ports, none of which are used
    b"<ClientIPAddress>127.0.0.1</ClientIPAddress>",
    b"<ClientMissionControlPort>0</ClientMissionControlPort>",
    b"<ClientCommandsPort>0</ClientCommandsPort>",
    b"<AgentIPAddress>127.0.0.1</AgentIPAddress>",
    b"<AgentMissionControlPort>0</AgentMissionControlPort>",
    b"<AgentVideoPort>0</AgentVideoPort>",
    b"<AgentDepthPort>0</AgentDepthPort>",
    b"<AgentLuminancePort>0</AgentLuminancePort>",
    b"<AgentObservationsPort>0</AgentObservationsPort>",
    b"<AgentRewardsPort>0</AgentRewardsPort>",
    b"<AgentColourMapPort>0</AgentColourMapPort>",
    b"</ClientAgentConnection>",
    b"</MissionInit>",
];

/// The second, at once behind the first; answered by [`ONE`] when the world is there, or [`ZERO`] while it is busy.
pub const TOKEN: Fields = &[
    &[0, 0, 0, 25], // length
    b"vpt-7",       // the experiment
    b":0",          // role
    b":0",          // resets
    b":1",          // agents
    b":true",       // steps are taken one by one
    b":-1234567",   // the world's seed, a signed number of 64 bits; left out, it is random
];

/// Asks for the first observation; answered by the frames of [`PEEK_REPLY`].
pub const PEEK: Fields = &[
    &[0, 0, 0, 7], // length
    b"<Peek/>",
];

/// One tick with an action: forward, sprint and attack held, the third slot taken, the mouse moved up and right.
/// Answered by the frames of [`STEP_REPLY`].
pub const STEP: Fields = &[
    &[0, 0, 0x01, 0x07], // length: 263
    b"<StepClient0>",    // 13 bytes, which the server cuts off
    b"forward 1\n",      // keys are 0 or 1
    b"left 0\n",
    b"back 0\n",
    b"right 0\n",
    b"jump 0\n",
    b"inventory 0\n",
    b"drop 0\n",
    b"sneak 0\n",
    b"sprint 1\n",
    b"attack 1\n",
    b"use 0\n",
    b"pickItem 0\n",
    b"hotbar.1 0\n",
    b"hotbar.2 0\n",
    b"hotbar.3 1\n",
    b"hotbar.4 0\n",
    b"hotbar.5 0\n",
    b"hotbar.6 0\n",
    b"hotbar.7 0\n",
    b"hotbar.8 0\n",
    b"hotbar.9 0\n",
    b"ESC 0\n",
    b"swapHands 0\n",
    b"camera -10.0 0.25", // degrees down, degrees right; the last line has no end
    b"</StepClient0 >",   // 15 bytes with the odd space, which the server cuts off
];

/// Behind every step; nothing answers it.
pub const STEP_SERVER: Fields = &[
    &[0, 0, 0, 25], // length
    b"<StepServer></StepServer>",
];

/// Answered by [`ECHO_REPLY`].
pub const ECHO: Fields = &[
    &[0, 0, 0, 7], // length
    b"<Echo/>",
];

/// Ends the connection and leaves the game as it is; nothing answers it.
pub const DISCONNECT: Fields = &[
    &[0, 0, 0, 13], // length
    b"<Disconnect/>",
];

/// Ends the game; answered by [`ONE`] once the main menu is shown.
pub const EXIT: Fields = &[
    &[0, 0, 0, 16], // length
    b"<Exit>NOW</Exit>",
];

// --- From the game --------------------------------------------------------------------------------------------------

/// Done: the answer to quit, exit and the token.
pub const ONE: Fields = &[
    &[0, 0, 0, 4], // length
    &[0, 0, 0, 1],
];

/// Busy: the answer to a token that has to be sent again, with its mission, a second later.
pub const ZERO: Fields = &[
    &[0, 0, 0, 4], // length
    &[0, 0, 0, 0],
];

/// The picture of a game of 2x2 pixels: RGB, the bottom row first.
pub const POV: Fields = &[
    &[0, 0, 0, 12], // length: width x height x 3
    &[10, 11, 12],  // bottom left
    &[20, 21, 22],  // bottom right
    &[30, 31, 32],  // top left
    &[255, 128, 0], // top right
];

/// The same pixels with the top row first, as frames are everywhere else.
pub const POV_TOP_DOWN: [u8; 12] = [30, 31, 32, 255, 128, 0, 10, 11, 12, 20, 21, 22];

/// A picture that is not there: seen as black.
pub const POV_EMPTY: Fields = &[
    &[0, 0, 0, 0], // length
];

/// What the game tells beside its picture.
pub const INFO: Fields = &[
    &[0, 0, 0x01, 0x16], // length: 278
    b"{\"inventory\":[{\"type\":\"oak_log\",\"quantity\":3},{\"type\":\"stick\",\"quantity\":2}],", // main slots
    b"\"isGuiOpen\":false,",
    b"\"life\":20.0,", // half hearts
    b"\"is_alive\":true,",
    b"\"xpos\":1.5,\"ypos\":64.0,\"zpos\":-3.5,\"yaw\":90.0,\"pitch\":-10.0,", // degrees
    b"\"mine_block\":{\"oak_log\":3},", // statistics: only what is not zero
    b"\"pickup\":{\"oak_log\":4},",
    b"\"craft_item\":{\"stick\":2},",
    b"\"custom\":{\"jump\":5}}",
];

/// The answer to [`PEEK`], behind [`POV`] and [`INFO`].
pub const PEEK_DONE: Fields = &[
    &[0, 0, 0, 1], // length
    &[0],          // done: never
];

/// The second of the three frames that answer a step, between [`POV`] and [`INFO`].
pub const REWARD: Fields = &[
    &[0, 0, 0, 10],            // length
    &[0, 0, 0, 0, 0, 0, 0, 0], // reward, f64: always 0.0
    &[0],                      // done
    &[1],                      // sent
];

/// The same when the player has died.
pub const REWARD_DONE: Fields = &[
    &[0, 0, 0, 10],            // length
    &[0, 0, 0, 0, 0, 0, 0, 0], // reward, f64: always 0.0
    &[1],                      // done
    &[1],                      // sent
];

/// The three frames that answer [`PEEK`].
pub const PEEK_REPLY: &[Fields] = &[POV, INFO, PEEK_DONE];

/// The three frames that answer [`STEP`].
pub const STEP_REPLY: &[Fields] = &[POV, REWARD, INFO];

/// The answer to [`ECHO`]: what was sent, wrapped.
pub const ECHO_REPLY: Fields = &[
    &[0, 0, 0, 20], // length
    b"<Echo>",
    b"<Echo/>",
    b"</Echo>",
];
