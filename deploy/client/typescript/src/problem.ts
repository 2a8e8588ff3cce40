import type { Problem } from "./crm.gen.js";

/** An answer that is not success, with the problem (RFC 9457) that the service sent. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  /** How long to wait before the next try, in milliseconds; 0 when the service doesn't say. */
  readonly retryAfter: number;

  constructor(
    /** The HTTP status. */
    readonly status: number,
    /** The problem; undefined when something else answered, such as a proxy. */
    readonly problem: Problem | undefined,
    response: Response,
  ) {
    super(problem ? `${status} ${problem.code}: ${problem.detail}` : `${status} without a problem document`);
    this.retryAfter = 1000 * (Number(response.headers.get("Retry-After")) || 0);
  }

  /** What went wrong, for programs. */
  get code(): Problem["code"] | undefined {
    return this.problem?.code;
  }
}

/** What a call of a client resolves to: data, or the error. */
interface Answer {
  data?: unknown;
  error?: unknown;
  response: Response;
}

/** The success among the answers of a call. */
type Success<A extends Answer> = Extract<A, { error?: undefined }>;

/** ok returns the answer of a call with its response, whose headers have the ETag. An
 * answer that is not success is thrown as a ProblemError. */
export async function ok<A extends Answer>(call: Promise<A>): Promise<Success<A>> {
  const answer = await call;
  if (isSuccess(answer)) return answer;
  const { error, response } = answer;
  throw new ProblemError(response.status, isProblem(error) ? error : undefined, response);
}

function isSuccess<A extends Answer>(answer: A): answer is Success<A> {
  return answer.error === undefined && answer.response.ok;
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && "detail" in value;
}
