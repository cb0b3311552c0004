/** A variable has a value that it cannot have: wrong use, which a person can mend. */
export class TelemetryVariableError extends Error {
  override name = "TelemetryVariableError";
}
