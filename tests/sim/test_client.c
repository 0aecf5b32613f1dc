#include "test_client.h"

#include <string.h>

/* INIT until RESPONSE; a COOKIE on the way is taken. */
static bool get_response(struct test_client *client, struct handshake_client *handshake,
                         uint8_t confirm[HANDSHAKE_CONFIRM_BYTES])
{
    for (unsigned i = 0; i < TEST_CLIENT_TRIES; i++) {
        uint8_t bytes[DATAGRAM_BYTES_MAX];
        struct handshake_identity server;
        size_t length;

        client->link.send(client->link.state, handshake->init, HANDSHAKE_INIT_BYTES);
        while ((length = client->link.receive(client->link.state, bytes, sizeof bytes,
                                              TEST_CLIENT_TIMEOUT_MS)) > 0) {
            if (handshake_take_cookie(handshake, &client->keys, bytes, length) == 0)
                break; /* send again, with the cookie */
            if (handshake_finish(handshake, &client->keys, bytes, length, confirm, &client->session,
                                 &server) == 0)
                return true;
        }
    }
    return false;
}

bool test_client_connect(struct test_client *client, const struct datagram_link *link, const char *secret,
                         unsigned suites, struct random_source random)
{
    struct handshake_client handshake;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES], bytes[DATAGRAM_BYTES_MAX];
    char error[256];
    bool ready = false;

    memset(client, 0, sizeof *client);
    client->link = *link;
    client->random = random;
    client->next_request_id = 1;
    if (secret == NULL)
        keys_insecure(&client->keys);
    else if (keys_from_secret(&client->keys, secret, strlen(secret), "wild", error, sizeof error) != 0)
        return false;
    if (handshake_start(&handshake, &client->keys, ROLE_CLIENT, TRANSPORT_UDP, suites, &client->random) != 0)
        return false;
    if (get_response(client, &handshake, confirm))
        for (unsigned i = 0; i < TEST_CLIENT_TRIES && !ready; i++) {
            size_t length;

            link->send(link->state, confirm, sizeof confirm);
            while (!ready &&
                   (length = link->receive(link->state, bytes, sizeof bytes, TEST_CLIENT_TIMEOUT_MS)) > 0)
                ready = handshake_ready_check(&client->session, bytes, length) == 0;
        }
    handshake_end(&handshake);
    return ready;
}

void test_client_close(struct test_client *client)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    size_t length = datagram_seal(&client->session.send, DATAGRAM_CLOSE, client->session.version,
                                  client->session.session, client->counter++, bytes, 0);

    client->link.send(client->link.state, bytes, length);
}

/* Opens a datagram into client->reply. The number of replies if it answers `first`, else 0. */
static unsigned open_reply(struct test_client *client, const uint8_t *bytes, size_t length, uint64_t first,
                           struct reply *replies)
{
    struct message_reader reader;
    uint8_t *message;
    size_t message_length;
    unsigned count = 0;

    memcpy(client->reply, bytes, length);
    if (datagram_open(&client->session.receive, &client->replay, client->session.version, client->reply,
                      length, &message, &message_length) != 0 ||
        message_open(&reader, &client->reply_header, message, message_length, false) != 0)
        return 0;
    while (count < TEST_CLIENT_OPERATIONS && message_next_reply(&reader, &replies[count]) == 1)
        count++;
    return count > 0 && replies[0].request_id == first ? count : 0;
}

unsigned test_client_request(struct test_client *client, struct operation *operations, unsigned count,
                             struct reply *replies)
{
    struct message_header header = {.version = client->session.version,
                                    .count = (uint16_t)count,
                                    .history = client->reply_header.history};

    for (unsigned i = 0; i < count; i++)
        if (operations[i].request_id == 0)
            operations[i].request_id = client->next_request_id++;
    for (unsigned try = 0; try < TEST_CLIENT_TRIES; try++) {
        uint8_t out[DATAGRAM_BYTES_MAX], in[DATAGRAM_BYTES_MAX];
        struct message_writer writer;
        size_t length;

        if (message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX) != 0)
            return 0;
        for (unsigned i = 0; i < count; i++)
            if (message_add_operation(&writer, &operations[i]) != 0)
                return 0;
        length = datagram_seal(&client->session.send, 0, client->session.version, client->session.session,
                               client->counter++, out, message_finish(&writer, &header));
        client->link.send(client->link.state, out, length);
        while ((length = client->link.receive(client->link.state, in, sizeof in, TEST_CLIENT_TIMEOUT_MS)) >
               0) {
            unsigned got = open_reply(client, in, length, operations[0].request_id, replies);

            if (got > 0)
                return got;
        }
    }
    return 0;
}
