//! Versions and sizes that both ends of a connection enforce.

/// Raised when old and new peers can no longer talk; checked in every handshake.
pub const PROTOCOL_VERSION: u32 = 1;

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
