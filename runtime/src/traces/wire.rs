//! Traces as OTLP has them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};

use super::trace::{End, Finished, Span, Value};
use crate::build_info;

/// W3C's flag: this trace is sampled.
const SAMPLED: u32 = 1;

/// Whose traces they are.
pub(super) fn resource(role: &str, name: &str) -> Resource {
    let attributes = vec![
        attribute("service.namespace", &Value::from("vpt")),
        attribute("service.name", &Value::from(format!("vpt-{role}"))),
        attribute("service.instance.id", &Value::from(name)),
        attribute("service.version", &Value::from(build_info::VERSION)),
    ];
    Resource { attributes, ..Resource::default() }
}

/// One message for several traces.
pub(super) fn request(resource: &Resource, traces: &[Finished]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "vpt".to_owned(),
        version: build_info::VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = traces.iter().flat_map(spans).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(resource.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

/// The unroll's way through the process, and all parts of it.
fn spans(trace: &Finished) -> Vec<OtlpSpan> {
    let status = match trace.end {
        End::Good => Status { code: StatusCode::Ok.into(), message: String::new() },
        End::Lost(reason) => Status { code: StatusCode::Error.into(), message: reason.to_owned() },
    };
    let kind = if trace.parent.is_some() { SpanKind::Consumer } else { SpanKind::Producer };
    let whole = OtlpSpan {
        trace_id: trace.context.trace.to_be_bytes().to_vec(),
        span_id: identity(trace.context.span),
        parent_span_id: trace.parent.map_or(Vec::new(), identity),
        name: trace.name.to_owned(),
        kind: kind.into(),
        flags: SAMPLED,
        start_time_unix_nano: trace.unix_nanos(trace.began),
        end_time_unix_nano: trace.unix_nanos(trace.ended),
        attributes: attributes(&trace.notes),
        status: Some(status),
        ..OtlpSpan::default()
    };
    std::iter::once(whole).chain(trace.spans.iter().map(|span| part(trace, span))).collect()
}

fn part(trace: &Finished, span: &Span) -> OtlpSpan {
    OtlpSpan {
        trace_id: trace.context.trace.to_be_bytes().to_vec(),
        span_id: identity(span.id.0),
        parent_span_id: identity(span.within.map_or(trace.context.span, |outer| outer.0)),
        name: span.name.to_owned(),
        kind: SpanKind::Internal.into(),
        flags: SAMPLED,
        start_time_unix_nano: trace.unix_nanos(span.from),
        end_time_unix_nano: trace.unix_nanos(span.to),
        attributes: attributes(&span.notes),
        ..OtlpSpan::default()
    }
}

fn identity(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn attributes(notes: &[(&'static str, Value)]) -> Vec<KeyValue> {
    notes.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::StringValue(text.clone()),
        Value::Count(count) => Any::IntValue(*count),
        Value::Number(number) => Any::DoubleValue(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
