//! The summary object of auditwatch: the last line of its standard output.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The object.
#[derive(Debug, Clone)]
pub struct Summary(Value);

impl Summary {
    /// Finds it in the output of `trace --format json`; every line must be a JSON object with a
    /// `kind`, and the summary must be the last.
    pub fn parse(stdout: &str) -> Result<Self> {
        let mut last = None;
        for line in stdout.lines() {
            let value: Value = serde_json::from_str(line)
                .with_context(|| format!("standard output has a line that is no JSON: {line}"))?;
            match value["kind"].as_str() {
                Some("summary" | "interval") => last = Some(value),
                Some(_) => {}
                None => bail!("an object without kind: {line}"),
            }
        }
        match last {
            Some(value) if value["kind"] == "summary" => {
                if value["schema"] != 2 {
                    bail!("summary of schema {}", value["schema"]);
                }
                Ok(Self(value))
            }
            _ => bail!("the output does not end with a summary"),
        }
    }

    /// The value at `ledger.dropped.silent` and the like.
    pub fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, key| &value[key])
    }

    /// The paths of all that was not measured: each null in an object, but not those in lists,
    /// where null has other meanings.
    pub fn nulls(&self) -> Vec<String> {
        let mut found = Vec::new();
        nulls_below(&self.0, "", &mut found);
        found
    }

    /// A number that must have been measured.
    pub fn number(&self, path: &str) -> Result<i64> {
        self.at(path)
            .as_i64()
            .with_context(|| format!("summary: {path} is {}, expected a number", self.at(path)))
    }

    /// A number, or 0 where the key is missing or null.
    pub fn number_or_zero(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or(0)
    }

    /// The objects of a list.
    pub fn list(&self, path: &str) -> Result<&[Value]> {
        self.at(path)
            .as_array()
            .map(Vec::as_slice)
            .with_context(|| format!("summary: {path} is {}, expected a list", self.at(path)))
    }

    /// The sum of the numbers in an object.
    pub fn sum(&self, path: &str) -> Result<i64> {
        let object = self
            .at(path)
            .as_object()
            .with_context(|| format!("summary: {path} is {}, expected an object", self.at(path)))?;
        Ok(object.values().filter_map(Value::as_i64).sum())
    }
}

fn nulls_below(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Object(fields) => {
            for (key, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                nulls_below(field, &format!("{path}{dot}{key}"), found);
            }
        }
        _ => {}
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_is_the_summary() {
        let text = "{\"kind\":\"interval\"}\n{\"kind\":\"summary\",\"schema\":2,\
                    \"ledger\":{\"own\":3,\"held\":null},\"types\":{\"A\":1,\"B\":2}}\n";
        let summary = Summary::parse(text).expect("parses");
        assert_eq!(summary.number("ledger.own").ok(), Some(3));
        assert!(summary.number("ledger.held").is_err());
        assert_eq!(summary.number_or_zero("ledger.held"), 0);
        assert_eq!(summary.sum("types").ok(), Some(3));
        assert_eq!(summary.nulls(), ["ledger.held"]);
        for wrong in [
            "",
            "x",
            "{\"kind\":\"interval\"}",
            "{\"a\":1}",
            "{\"kind\":\"summary\"}",
        ] {
            assert!(Summary::parse(wrong).is_err(), "{wrong}");
        }
    }
}
