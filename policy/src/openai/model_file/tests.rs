//! The published nesting, arguments that decide, arguments that do not, and arguments that no network here has.

use serde_json::{Value, json};

use super::*;

/// A value as a pickle, enough of protocol 1 for what JSON can say.
fn dump(value: &Value, pickle: &mut Vec<u8>) {
    match value {
        Value::Null => pickle.push(b'N'),
        Value::Bool(value) => pickle.extend(if *value { b"I01\n" } else { b"I00\n" }),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => pickle.extend(format!("L{integer}L\n").as_bytes()),
            None => pickle.extend(format!("F{number}\n").as_bytes()),
        },
        Value::String(text) => {
            pickle.push(b'X');
            pickle.extend((text.len() as u32).to_le_bytes());
            pickle.extend(text.as_bytes());
        }
        Value::Array(values) => {
            pickle.push(b'(');
            values.iter().for_each(|value| dump(value, pickle));
            pickle.push(b'l');
        }
        Value::Object(entries) => {
            pickle.push(b'(');
            for (key, value) in entries {
                dump(&json!(key), pickle);
                dump(value, pickle);
            }
            pickle.push(b'd');
        }
    }
}

fn read(value: &Value) -> Result<ModelFile, OpenAiError> {
    let mut pickle = Vec::new();
    dump(value, &mut pickle);
    pickle.push(b'.');
    parse(&pickle)
}

fn model(net: Value, head: Value) -> Value {
    json!({"model": {"args": {"net": {"args": net}, "pi_head_opts": head}}})
}

/// A network with `changes` to the arguments that a file must have.
fn changed(changes: Value) -> Result<ModelFile, OpenAiError> {
    let mut net = json!({"hidsize": 2048, "impala_width": 8, "attention_heads": 16});
    if let (Value::Object(net), Value::Object(changes)) = (&mut net, changes) {
        net.extend(changes);
    }
    read(&model(net, json!({"temperature": 2.0})))
}

fn tiny_inverse_dynamics() -> Value {
    json!({
        "attention_heads": 2, "attention_mask_style": "none", "attention_memory_size": 8,
        "conv3d_params": {"inchan": 3, "kernel_size": [5, 1, 1], "outchan": 4, "padding": [2, 0, 0]},
        "hidsize": 16, "img_shape": [128, 128, 4], "impala_chans": [3, 4, 2],
        "impala_kwargs": {"post_pool_groups": 1}, "impala_width": 1,
        "init_norm_kwargs": {"batch_norm": false, "group_norm_groups": 1}, "n_recurrence_layers": 2,
        "only_img_input": true, "pointwise_ratio": 4, "pointwise_use_activation": false,
        "recurrence_is_residual": true, "recurrence_type": "transformer", "single_output": true,
        "timesteps": 8, "use_pointwise_layer": true, "use_pre_lstm_ln": false
    })
}

#[test]
fn a_file_of_the_published_nesting_is_read() {
    let path = format!("{}/tests/fixtures/openai/policy_tiny.model", env!("CARGO_MANIFEST_DIR"));
    let expected = PolicyConfig {
        kind: NetworkKind::Transformer,
        image_size: 128,
        impala_width: 1,
        impala_chans: vec![4, 6, 2],
        hidsize: 32,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        n_recurrence_layers: 2,
        pointwise_ratio: 4,
        temperature: 2.0,
    };
    assert_eq!(read_model(Path::new(&path)).unwrap(), ModelFile::Policy(expected));
}

#[test]
fn absent_arguments_are_as_published() {
    assert_eq!(changed(json!({})).unwrap(), ModelFile::Policy(PolicyConfig::two_x()));
    let wide = json!({"hidsize": 4096, "impala_width": 16, "attention_heads": 32, "conv3d_params": {"outchan": 128}});
    let found = read(&model(wide, json!({"temperature": 4}))).unwrap();
    assert_eq!(found, ModelFile::InverseDynamics(InverseDynamicsConfig::four_x()));
}

#[test]
fn inverse_dynamics_is_told_by_its_first_layer_or_its_function() {
    let expected = InverseDynamicsConfig {
        image_size: 128,
        conv3d_channels: 4,
        impala_width: 1,
        impala_chans: vec![3, 4, 2],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 8,
        timesteps: 8,
        n_recurrence_layers: 2,
        pointwise_ratio: 4,
        temperature: 4.0,
    };
    let mut file = model(tiny_inverse_dynamics(), json!({"temperature": 4.0}));
    assert_eq!(read(&file).unwrap(), ModelFile::InverseDynamics(expected));

    let net = json!({"hidsize": 4096, "impala_width": 16, "attention_heads": 32, "conv3d_params": null});
    file = model(net, json!({"temperature": 4}));
    file["model"]["function"] = json!("ypt.model.inverse_action_model:create");
    let found = read(&file).unwrap();
    assert_eq!(found, ModelFile::InverseDynamics(InverseDynamicsConfig::four_x()));
}

#[test]
fn arguments_that_change_nothing_are_ignored() {
    let ignored = json!({
        "active_reward_monitors": {"diamond": true}, "some_new_switch": [1, {"a": null}], "img_statistics": null,
        "single_output": false, "conv3d_params": null,
    });
    assert_eq!(changed(ignored).unwrap(), ModelFile::Policy(PolicyConfig::two_x()));
    // A class of a module that is nowhere installed, with arguments and state.
    let mut file = b"(dX\x0a\x00\x00\x00extra_argscgym3.types\nDictType\n(I1\ntR}bs".to_vec();
    let mut rest = Vec::new();
    let net = json!({"hidsize": 2048, "impala_width": 8, "attention_heads": 16});
    dump(&model(net, json!({"temperature": "2.0"}))["model"], &mut rest);
    file.extend(b"X\x05\x00\x00\x00model");
    file.extend(rest);
    file.extend(b"s.");
    assert_eq!(parse(&file).unwrap(), ModelFile::Policy(PolicyConfig::two_x()));
}

#[test]
fn arguments_of_other_networks_are_refused_by_name() {
    for (key, value) in [
        ("recurrence_type", json!("lstm")),
        ("recurrence_is_residual", json!(false)),
        ("use_pre_lstm_ln", json!(true)),
        ("use_pointwise_layer", json!(false)),
        ("pointwise_use_activation", json!(true)),
        ("only_img_input", json!(false)),
        ("diff_mlp_embedding", json!(true)),
        ("img_statistics", json!("statistics.npy")),
        ("init_norm_kwargs", json!({"batch_norm": true})),
        ("init_norm_kwargs", json!({"group_norm_groups": 2})),
        ("init_norm_kwargs", json!("group")),
        ("impala_kwargs", json!({"post_pool_groups": 4})),
        ("attention_mask_style", json!("none")),
        ("first_conv_norm", json!(true)),
        ("img_shape", json!([128, 64, 3])),
        ("img_shape", json!([128, 128, 1])),
        ("impala_chans", json!("many")),
        ("hidsize", json!(-1)),
        ("hidsize", json!(null)),
        ("timesteps", json!(0.5)),
    ] {
        let text = changed(json!({key: value})).unwrap_err().to_string();
        assert!(
            text.contains(&format!("[\"model\"][\"args\"][\"net\"][\"args\"][\"{key}\"]")),
            "{key}: {text}"
        );
    }
    for (key, value) in [
        ("conv3d_params", json!({"kernel_size": [3, 1, 1], "outchan": 4})),
        ("conv3d_params", json!({"padding": [1, 0, 0], "outchan": 4})),
        ("conv3d_params", json!({"inchan": 1, "outchan": 4})),
        ("conv3d_params", json!({})),
        ("single_output", json!(false)),
        ("attention_mask_style", json!("clipped_causal")),
        ("img_shape", json!([128, 128, 3])),
    ] {
        let mut net = tiny_inverse_dynamics();
        net[key] = value;
        let text = read(&model(net, json!({"temperature": 4.0}))).unwrap_err().to_string();
        assert!(text.contains(key), "{key}: {text}");
    }
    // Values of the right kind that no network can be built from are refused as in a configuration file.
    let text = changed(json!({"attention_heads": 7})).unwrap_err().to_string();
    assert!(text.contains("policy.attention_heads"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let required = json!({"hidsize": 2048, "impala_width": 8, "attention_heads": 16});
    for key in ["hidsize", "impala_width", "attention_heads"] {
        let mut net = required.clone();
        net.as_object_mut().unwrap().remove(key);
        let text = read(&model(net, json!({"temperature": 2.0}))).unwrap_err().to_string();
        assert!(text.contains(&format!("[\"{key}\"] should be a count, but is missing")), "{text}");
    }
    let text = read(&model(required, json!({}))).unwrap_err().to_string();
    assert!(text.contains("[\"pi_head_opts\"][\"temperature\"] should be a number"), "{text}");
    for (file, expected) in [
        (json!({}), "[\"model\"] should be a dict, but is missing"),
        (json!({"model": 3}), "[\"model\"] should be a dict, but is 3"),
        (
            json!({"model": {"args": {"net": {}}}}),
            "[\"model\"][\"args\"][\"net\"][\"args\"] should be a dict",
        ),
        (json!([1]), "[\"model\"] should be a dict, but is missing"),
    ] {
        let text = read(&file).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn the_temperature_may_be_of_any_numeric_type() {
    let mut start = Vec::new();
    dump(&json!({"hidsize": 2048, "impala_width": 8, "attention_heads": 16}), &mut start);
    let double = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8\x85RC\x08\0\0\0\0\0\0\x08\x40\x86R";
    let single =
        b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f4\x85RC\x04\0\0\x40\x40\x86R";
    let short =
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8\x85RC\x04\0\0\x40\x40\x86R";
    let foreign = b"cnumpy.core.multiarray\nscalar\ncos\nsystem\nX\x02\x00\x00\x00f8\x85RC\x08\0\0\0\0\0\0\x08\x40\x86R";
    let with = |temperature: &[u8]| {
        let mut file = b"(dX\x05\0\0\0model(dX\x04\0\0\0args(dX\x03\0\0\0net(dX\x04\0\0\0args".to_vec();
        file.extend(&start);
        file.extend(b"ssX\x0c\0\0\0pi_head_opts(dX\x0b\0\0\0temperature");
        file.extend(temperature);
        file.extend(b"ssss.");
        parse(&file)
    };
    for temperature in [&b"K\x03"[..], b"F3.0\n", b"S'3'\n", b"U\x043.0 ", double, single] {
        let expected = PolicyConfig { temperature: 3.0, ..PolicyConfig::two_x() };
        assert_eq!(with(temperature).unwrap(), ModelFile::Policy(expected));
    }
    for temperature in [&b"N"[..], b"S'hot'\n", b"]", short, foreign, b"Fnan\n", b"K\x00"] {
        assert!(with(temperature).unwrap_err().to_string().contains("temperature"));
    }
}
