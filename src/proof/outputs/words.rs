//! What is said of one output.

use super::pooled::{in_words, nearest};
use super::{CODE, EXPLAINED, Explaining, Is, LAST, OutputSeen, SENTENCE, SENTENCE_CODE, far, limit};
use crate::Error;
use crate::figures::number;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::proof::likeness::change;
use crate::proof::swept_row::shown_row;
use crate::report::OutputSection;
use crate::report::escape::plain;
use crate::runtimes::onnx::{Carries, DeclaredOutput};
use crate::sides::Sides;

/// Characters of a name or shape out of a file.
const SHOWN: usize = 120;

/// What the output is, for the report, with the explanation that holds; and the finding, where there is something to say.
type Said = ((String, Option<Is>), Option<Finding>);

fn refused(is: &str, code: &Code, message: String) -> Said {
    ((is.to_owned(), None), Some(Finding::new(Severity::Refusal, code, message)))
}

/// Explains one output. `last` is set where users take it for the last hidden state.
pub(crate) fn explained(
    declared: &DeclaredOutput,
    seen: Option<&OutputSeen>,
    last: bool,
    to: &Explaining,
    sides: &Sides,
) -> Result<Said, Error> {
    let name = plain(&declared.name, SHOWN);
    let limit = limit(&to.declared, &declared.name);
    if let Some(claimed) = misnamed(declared, seen, to.layers) {
        return Ok(refused("misnamed", CODE, format!("the graph's output `{name}` is {claimed}")));
    }
    match &declared.carries {
        Carries::Other(found) => {
            let message = format!(
                "the graph's output `{name}` ({}) is neither a hidden state nor a pooled vector; heads are not computed: export the encoder without it",
                plain(found, SHOWN)
            );
            return Ok(refused("unexplained", CODE, message));
        }
        Carries::Input(input) => return Ok(((format!("the input `{}`", plain(input, SHOWN)), None), None)),
        Carries::Tap(tap) if *tap == Tap::Final => return Ok((("final".to_owned(), None), None)),
        Carries::Tap(tap) if last => return Ok(inner(&name, *tap)),
        Carries::Tap(tap) => return Ok(another(&name, *tap)),
        Carries::Values { .. } => {}
    }
    let Some(seen) = seen.filter(|s| s.rows > 0) else {
        let message = format!("the graph's output `{name}` was not compared with anything: no row returned it");
        return Ok(refused("not compared", CODE, message));
    };
    if let Some((row, shape)) = &seen.unlike {
        let message = format!(
            "the graph's output `{name}` has shape {} ({}): neither a hidden state nor a pooled vector; heads are not computed",
            plain(shape, SHOWN),
            shown_row(*row)
        );
        return Ok(refused("unexplained", CODE, message));
    }
    match seen.per_token {
        true => per_token(&name, seen, last, limit, to.layers),
        false => per_row(&declared.name, seen, limit, to, sides),
    }
}

/// An output whose name promises another kind of values, in words.
fn misnamed(declared: &DeclaredOutput, seen: Option<&OutputSeen>, layers: usize) -> Option<String> {
    let name = declared.name.as_str();
    let per_token = match &declared.carries {
        Carries::Tap(_) => true,
        Carries::Values { .. } => seen.filter(|s| s.rows > 0)?.per_token,
        Carries::Other(_) | Carries::Input(_) => return None,
    };
    if !per_token && LAST.contains(&name) {
        return Some("one vector per row, where loaders take the states of every token".to_owned());
    }
    if per_token && SENTENCE.contains(&name) {
        return Some("the states of every token, where loaders take one vector per row".to_owned());
    }
    match &declared.carries {
        Carries::Tap(tap) => other_layer(name, *tap, layers),
        _ => None,
    }
}

/// A state under the number of another one, in words.
fn other_layer(name: &str, tap: Tap, layers: usize) -> Option<String> {
    let number: usize = name.strip_prefix("hidden_states")?.trim_start_matches(['.', '_', '/']).parse().ok()?;
    // transformers counts the embeddings as the first; its last is `final` where a norm behind the layers is in it.
    let own = number.checked_sub(1).map_or(Tap::Embeddings, Tap::Layer);
    let named = tap == own || (tap == Tap::Final && number == layers);
    (!named).then(|| format!("{tap}; its name says {own}"))
}

fn inner(name: &str, tap: Tap) -> Said {
    let message = format!(
        "the graph's output `{name}` is {tap}, not the last hidden state: its users do not get the states that are compared"
    );
    refused(&tap.to_string(), CODE, message)
}

/// An output beside the last hidden state that is another tap.
fn another(name: &str, tap: Tap) -> Said {
    let message = format!("the graph's output `{name}` is {tap}");
    ((tap.to_string(), Some(Is::Tap(tap))), Some(Finding::new(Severity::Note, CODE, message)))
}

fn per_token(name: &str, seen: &OutputSeen, last: bool, limit: f64, layers: usize) -> Result<Said, Error> {
    let end = Is::Tap(Tap::Final);
    let other_layer = |tap| other_layer(name, tap, layers);
    let misnamed = |claimed| refused("misnamed", CODE, format!("the graph's output `{name}` is {claimed}"));
    if seen.is(end, limit) {
        return Ok(other_layer(Tap::Final).map_or_else(|| (("final".to_owned(), Some(end)), None), misnamed));
    }
    let other = seen.worst.keys().rev().find(|is| **is != end && seen.is(**is, limit));
    if let Some(Is::Tap(tap)) = other {
        if let Some(claimed) = other_layer(*tap) {
            return Ok(misnamed(claimed));
        }
        return Ok(if last { inner(name, *tap) } else { another(name, *tap) });
    }
    let (mut where_, mut so) = (String::new(), String::new());
    if let Some(evidence) = &seen.evidence {
        let (row, tokens) = (evidence.worst.row, evidence.output.tokens(0));
        where_ = format!(
            ": {} from `final` at token {} of {} ({tokens} tokens; limit {limit:.0e})",
            number(evidence.worst.distance),
            evidence.worst.token + 1,
            shown_row(row)
        );
        let told = evidence
            .states
            .get(Tap::Final)
            .and_then(|last| change(evidence.output.row(0), last.row(0), evidence.output.hidden()));
        so = told.map_or_else(String::new, |told| format!("; {told}"));
    }
    let message = format!(
        "the graph's output `{name}` should be the last hidden state and is not, on {} of {} rows{where_}{so}; its users do not get the states that are compared",
        seen.unexplained, seen.rows
    );
    Ok(refused("unexplained", CODE, message))
}

fn per_row(raw: &str, seen: &OutputSeen, limit: f64, to: &Explaining, sides: &Sides) -> Result<Said, Error> {
    let name = plain(raw, SHOWN);
    let says = in_words(to.head.modules());
    let note = |is: Is, shown: &str, code: &Code, message: String| -> Said {
        ((shown.to_owned(), Some(is)), Some(Finding::new(Severity::Note, code, message)))
    };
    let sentence = Is::Tap(Tap::Sentence);
    if seen.is(sentence, limit) {
        let distance = seen.worst.get(&sentence).map_or(f64::NAN, |w| w.distance);
        let message =
            format!("the graph's own `{name}` is what the files say, {says}: at most {} apart", number(distance));
        return Ok(note(sentence, &says, SENTENCE_CODE, message));
    }
    if seen.is(Is::Pooler, limit) && !SENTENCE.contains(&raw) {
        let shown = "the checkpoint's pooler on the first token";
        let message = format!("the graph's output `{name}` is {shown}, tanh(W·x + b)");
        return Ok(note(Is::Pooler, shown, CODE, message));
    }
    if seen.is(Is::Pooler, limit) {
        let message = format!(
            "the graph's own `{name}` is the checkpoint's pooler on the first token, the files say {says}: sentences are not what users of the graph get"
        );
        return Ok(refused("unexplained", SENTENCE_CODE, message));
    }
    let Some(evidence) = &seen.evidence else {
        let message = format!("the graph's output `{name}` is two things on different rows ({says}, and a pooler)");
        return Ok(refused("unexplained", CODE, message));
    };
    let width = evidence.output.hidden();
    let rows = format!("on {} of {} rows", seen.unexplained, seen.rows);
    if to.head.width() != width && sides.facts.hidden != width {
        let message = format!(
            "the graph's output `{name}` has {width} values per row: neither a hidden state nor a pooled vector (the files say {says}, {} wide); heads are not computed: export the encoder without it",
            to.head.width()
        );
        return Ok(refused("unexplained", CODE, message));
    }
    let Some(last) = evidence.states.get(Tap::Final) else {
        return Ok(refused(
            "unexplained",
            CODE,
            format!("the graph's output `{name}` cannot be explained without `final`"),
        ));
    };
    let best = nearest(&to.head, last, &evidence.output)?;
    let worst = far(&evidence.worst);
    let message = match best {
        Some((is, least)) if least <= EXPLAINED => format!(
            "the graph's own `{name}` is {is}, the files say {says}: sentences are not what users of the graph get ({rows}, {worst})"
        ),
        Some((is, least)) => {
            let (_, expected) = to.head.apply(last)?;
            let told = change(evidence.output.row(0), expected.row(0), width).map(|t| t.replace("state", "vector"));
            format!(
                "the graph's own `{name}` is not what the files say ({says}), nor any other pooling of its last states (nearest {is}, {} apart), {rows}, {worst}{}{}",
                number(least),
                told.map_or_else(String::new, |told| format!("; {told}")),
                pooler_hint(seen, to)
            )
        }
        None => format!("the graph's own `{name}` has another width than any pooling of its last states ({says})"),
    };
    Ok(refused("unexplained", SENTENCE_CODE, message))
}

/// A pooler in front of the states: who takes the first output takes it for them.
pub(crate) fn pooler_first(name: &str) -> Finding {
    let message = format!(
        "the graph's first output `{}` is the checkpoint's pooler; loaders that take the first output get it in place of the last \
         hidden state: export that one first",
        plain(name, SHOWN)
    );
    Finding::new(Severity::Refusal, CODE, message)
}

/// Outputs of which none is what is compared.
pub(crate) fn none_compared(outputs: &[OutputSection]) -> Finding {
    let each: Vec<String> = outputs.iter().map(|o| format!("`{}` is {}", plain(&o.name, SHOWN), o.is)).collect();
    let message = format!(
        "no output of the graph is the last hidden state or the files' sentence vector ({}): users of the ONNX file get another tensor than the one compared here",
        each.join(", ")
    );
    // The states in the graph are the original's all the same: a pooler's output is what some exports are made for.
    Finding::new(Severity::Warning, &codes::REFERENCE_OUTPUTS_ELSEWHERE, message)
}

/// What is known of a pooler that does not explain the output.
fn pooler_hint(seen: &OutputSeen, to: &Explaining) -> String {
    match (seen.worst.get(&Is::Pooler), &to.pooler) {
        (Some(worst), _) => format!("; from the checkpoint's pooler it is {}", far(worst)),
        (None, None) => {
            "; the checkpoint has no pooler: if this output is one, give --original with its weights, or export without it"
                .to_owned()
        }
        (None, Some(_)) => String::new(),
    }
}
