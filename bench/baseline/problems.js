// Refusals: problem+json with the codes of Snapup.
const PROBLEMS = {
    invalid_request: [400, 'The request is not valid'],
    unauthenticated: [401, 'No valid credential was given'],
    sale_not_found: [404, 'There is no such sale'],
    item_not_found: [404, 'The sale has no such item'],
    order_not_found: [404, 'There is no such order'],
    not_found: [404, 'There is nothing at this address'],
    sale_exists: [409, 'A sale with this id exists'],
    idempotency_mismatch: [422, 'This idempotency key was used with another request'],
    idempotency_in_progress: [409, 'The first request with this idempotency key is still running'],
    sale_not_open: [409, 'The sale has not opened'],
    sale_ended: [409, 'The sale has ended'],
    limit_reached: [409, 'The limit per shopper is reached'],
    sold_out: [409, 'Fewer units are left than asked for'],
    invalid_state: [409, 'The resource is not in a state that allows it'],
    unavailable: [503, 'A part the service needs does not answer'],
};

// Sets the status and returns the body, for a handler to return in turn.
export function refuse(request, reply, code, more) {
    const [status, title] = PROBLEMS[code];
    reply.code(status).type('application/problem+json');
    return { type: 'about:blank', title, status, code, detail: title, ...more, request_id: request.id };
}
