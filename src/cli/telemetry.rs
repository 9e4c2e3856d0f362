//! ONNX Runtime collects reports on the machine it runs on from the moment its library is loaded: 1.32 leaves `deviceid`
//! and `onnxruntime.db` in the user's cache folder. Only a variable that is set before that keeps it from doing so.

/// Read by ONNX Runtime when it is loaded.
const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// Puts this program in its own place with the variable set, where it is not. Comes back where it is set, or where the
/// program cannot be started again: then what the library is told later has to do.
#[cfg(unix)]
pub(super) fn disable() {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    let _ = std::process::Command::new(program).arg0(name).args(arguments).env(VARIABLE, "1").exec();
}

#[cfg(not(unix))]
pub(super) fn disable() {}
