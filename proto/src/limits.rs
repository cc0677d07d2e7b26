//! Versions and sizes that both ends of a connection enforce.

/// What this build speaks; raised with every change of what travels, checked in every handshake.
///
/// 3: a hello names the build of its actor; an unroll may name its trace. Version 2 misses neither.
pub const PROTOCOL_VERSION: u32 = 3;

/// The oldest version that this build still serves, in that version's own words. Servers are updated first: a client
/// speaks its own version, and a server that does not know it refuses.
pub const OLDEST_PROTOCOL_VERSION: u32 = 2;

/// Whether a peer of `version` is understood here.
#[must_use]
pub fn speaks(version: u32) -> bool {
    (OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION).contains(&version)
}

/// `Unroll.format_version` this build writes and reads.
pub const UNROLL_FORMAT_VERSION: u32 = 1;

/// `WeightsManifest.format_version` this build writes and reads.
pub const WEIGHTS_FORMAT_VERSION: u32 = 2;

/// Payload bytes of one chunk; with its envelope a message stays within [`MAX_MESSAGE_BYTES`].
pub const CHUNK_BYTES: usize = 1000 * 1024;

/// No message is larger than this; set as encoding and decoding limit on every service and client.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// An encoded unroll may not announce more than this before anything is allocated for it.
pub const MAX_UNROLL_BYTES: u64 = 256 * 1024 * 1024;
