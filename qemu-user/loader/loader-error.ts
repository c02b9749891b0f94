/**
 * What a loader says of a file that it cannot load.
 * Follows: the rule that a bad file gets one line, naming file and reason, and status 1.
 * Left out: the loaders themselves.
 */
export class LoaderError extends Error {
  override readonly name = "LoaderError";
  readonly path: string;

  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
    this.path = path;
  }
}
