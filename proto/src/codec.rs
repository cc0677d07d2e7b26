//! How messages become bytes of a gRPC stream: prost, with buffers that start small.
//!
//! tonic takes its buffers when a stream opens and keeps them as long as it lives. An actor's streams are open all the
//! time and mostly idle, and a learner has thousands of them: at tonic's own 8 KiB buffers alone took 24 KiB an actor.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes of a buffer when its stream opens: a report or an acknowledgement fits. Larger messages make room for themselves.
const BUFFER_BYTES: usize = 512;

/// Bytes of messages that are ready at the same time and go out as one.
const BATCH_BYTES: usize = 32 << 10;

/// The codec of all our services and clients.
#[derive(Clone, Copy, Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, BATCH_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, BATCH_BYTES))
    }
}
