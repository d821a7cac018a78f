/* Names that reach a prototype, fed to the page's modules as messages, as the API's description and as what is typed (test_client_side.py).
   The value of this file is the function; it returns what went wrong. */
async ([names]) => {
    const [socket, quotes, blotter, rows, book, apispec, format] = await Promise.all(
        ["socket", "quotes", "blotter", "rows", "book", "apispec", "format"].map((name) => import(`portal/${name}`)));
    const wrong = [];
    // A message that makes no sense may be refused; what it must not do is asked afterwards.
    const safely = (what, act) => { try { return act(); } catch (error) { if (!(error instanceof Error)) wrong.push(`${what}: ${error}`); } };
    const now = new Date().toISOString();
    for (const name of names) {
        // As a message comes: through JSON.parse, which makes "__proto__" a key like any other.
        const poison = `"${name}": {"polluted": "yes", "constructor": {"prototype": {"polluted": "yes"}}}, "__proto__": {"polluted": "yes"}, "constructor": {"prototype": {"polluted": "yes"}}`;
        const said = (text) => JSON.parse(`{${poison}, ${text}}`);
        const quote = `"symbol": "${name}", "seq": "9", "bid": "1", "ask": "2", "last": "1.5", "ts": "${now}", "state": "${name}"`;
        const market = socket.market;
        for (const symbol of [name, "ETH-USD"]) {
            market.subscribe(`book:${name}`, () => {});
            safely("hello", () => market.received(said(`"type": "hello", "server_time": "${now}"`)));
            safely("quotes", () => market.received(said(`"type": "quotes", "quotes": [${JSON.stringify(said(quote))}]`)));
            safely("book", () => market.received(said(`"type": "book", "symbol": "${symbol}", "prev": null, "seq": "1", "epoch": 1, "bids": [["${name}", "1"], ["1", "${name}"]], "asks": [["__proto__", "__proto__"]]`)));
            safely("trades", () => market.received(said(`"type": "trades", "symbol": "${symbol}", "trades": [{"id": "7", "price": "1", "qty": "1", "side": "${name}", "ts": "${now}"}]`)));
            safely("candle", () => market.received(said(`"type": "candle", "symbol": "${symbol}", "frame": "${name}"`)));
            safely("type", () => market.received(said(`"type": "${name}"`)));
        }
        const order = `"order_id": "${name}", "seq": 5, "symbol": "${name}", "side": "${name}", "type": "${name}", "time_in_force": "${name}", "status": "${name}", "qty": "1", "filled_qty": "0", "leaves_qty": "1", "price": "1", "created_at": "${now}"`;
        const position = `"symbol": "${name}", "seq": 5, "qty": "1", "cost": "1", "currency": "USD", "avg_price": "1", "realised_pnl": "0", "market_value": "1", "unrealised_pnl": "0"`;
        const balance = `"asset": "${name}", "seq": 5, "available": "1", "held": "0", "total": "1", "display_decimals": 2`;
        const execution = `"exec_id": "${name}", "order_id": "${name}", "symbol": "${name}", "side": "${name}", "qty": "1", "price": "1", "notional": "1", "fee": "0", "liquidity": "${name}", "time": "${now}"`;
        const own = new blotter.Blotter(said(`"account": "${name}", "open": [${JSON.stringify(said(order))}], "fills": [${JSON.stringify(said(execution))}], "balances": [${JSON.stringify(said(balance))}], "positions": [${JSON.stringify(said(position))}]`));
        own.line.stop();
        for (const [type, text] of Object.entries({ order, position, balance, execution })) safely(type, () => own.line.received(said(`"type": "${type}", "${type}": ${JSON.stringify(said(text))}, "eid": "7"`)));
        safely("private type", () => own.line.received(said(`"type": "${name}"`)));
        safely("mark", () => own.mark(said(quote)));
        safely("totals", () => blotter.totals([said(balance)], [said(position)], name, () => null));
        const state = new book.BookState(2);
        safely("state", () => state.apply(said(`"prev": null, "seq": "1", "epoch": 1, "bids": [["1", "1"]], "asks": []`)));
        // The description of the API, and what is typed into its form.
        const spec = said(`"components": {"schemas": {${poison}}}`);
        const schema = said(`"type": "object", "required": ["${name}", "__proto__"], "properties": ${JSON.stringify(said(`"a": {"type": "string"}`))}`);
        safely("shape", () => apispec.shape(spec, said(`"$ref": "#/components/schemas/${name}"`)));
        safely("shape of several", () => apispec.shape(spec, { allOf: [schema, said(`"type": "object"`)] }));
        safely("example", () => apispec.exampleBody(spec, schema));
        safely("value", () => apispec.valueOf({ type: "object" }, `{${poison}}`));
        const where = apispec.address({ path: `/x/{${name}}`, inputs: [{ in: "path", name }, { in: "query", name }] }, {});
        if (where.query !== "" || where.missing.length !== 1 || where.path !== `/x/${encodeURIComponent(`{${name}}`)}`) wrong.push(`address of ${name}: ${JSON.stringify(where)}`);
        if (typeof apispec.example(spec, { type: "string" }, name) !== "string") wrong.push(`example of ${name}`);
        if (typeof format.word(name) !== "string" || format.STATUS_KIND[name] !== undefined) wrong.push(`word of ${name}`);
    }
    await new Promise((done) => setTimeout(done, 400));
    return wrong;
}
