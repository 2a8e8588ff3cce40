import { ok } from "./problem.js";

/** One page of any list. */
interface Page<Item> {
  items: Item[];
  next_cursor?: string;
}

/** items yields a whole list, page by page, each page when it is needed:
 *
 *     for await (const ticket of items((cursor) => crm.GET("/v1/tickets", { params: { query: { cursor } } }))) …
 */
export async function* items<Item>(
  page: (cursor: string | undefined) => Promise<
    { data: Page<Item>; error?: never; response: Response } | { data?: never; error: object; response: Response }
  >,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | undefined;
  do {
    const { data } = await ok(page(cursor));
    yield* data.items;
    cursor = data.next_cursor;
  } while (cursor);
}
