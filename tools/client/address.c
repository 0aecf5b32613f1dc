/*
 * address.c - endpoints: their texts, and the addresses that their names stand for.
 */
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* "HOST:PORT", "[IPv6]:PORT", "[IPv6]", "HOST", or a bare IPv6 address. */
static int endpoint_split(const char *endpoint, char *host, size_t host_bytes, char *port, size_t port_bytes)
{
    const char *begin = endpoint, *end, *colon;
    if (*endpoint == '[') {
        begin = endpoint + 1;
        end = strchr(begin, ']');
        if (end == NULL)
            return -1;
        colon = end[1] == '\0' ? NULL : end + 1;
    } else {
        colon = strrchr(endpoint, ':');
        if (colon != NULL && strchr(endpoint, ':') != colon)
            colon = NULL;
        end = colon != NULL ? colon : endpoint + strlen(endpoint);
    }
    if (end == begin || (size_t)(end - begin) >= host_bytes)
        return -1;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (colon == NULL) {
        snprintf(port, port_bytes, "%d", PROTOCOL_DEFAULT_PORT);
        return 0;
    }
    char *rest;
    if (*colon != ':' || colon[1] < '0' || colon[1] > '9')
        return -1;
    unsigned long number = strtoul(colon + 1, &rest, 10);
    if (*rest != '\0' || number == 0 || number > 65535)
        return -1;
    snprintf(port, port_bytes, "%lu", number);
    return 0;
}

/* Names and addresses are made of these; whether a name exists is for the name server to say. */
static bool host_is_possible(const char *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    struct addrinfo *list;
    if (strchr(host, ':') != NULL) {
        if (getaddrinfo(host, NULL, &hints, &list) != 0)
            return false;
        freeaddrinfo(list);
        return true;
    }
    for (const char *at = host; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("-._", *at) == NULL)
            return false;
    return true;
}

bool endpoint_is_valid(const char *endpoint)
{
    char host[256], port[8];
    return strlen(endpoint) < WILD_ENDPOINT_BYTES &&
           endpoint_split(endpoint, host, sizeof(host), port, sizeof(port)) == 0 && host_is_possible(host);
}

int endpoint_resolve(const char *endpoint, int socket_type, bool numeric, struct address_list *out,
                     char error[WILD_ERROR_BYTES])
{
    char host[256], port[8];
    if (endpoint_split(endpoint, host, sizeof(host), port, sizeof(port)) != 0) {
        client_say(error, "endpoint \"%.200s\" is not HOST:PORT or [IPv6]:PORT", endpoint);
        return -1;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = socket_type,
                             .ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : 0)};
    struct addrinfo *list;
    int outcome = getaddrinfo(host, port, &hints, &list);
    if (outcome != 0) {
        client_say(error, "cannot resolve %.200s: %s", endpoint, gai_strerror(outcome));
        return -1;
    }
    memset(out, 0, sizeof(*out));
    for (const struct addrinfo *a = list; a != NULL && out->count < ADDRESSES_MAX; a = a->ai_next) {
        memcpy(&out->address[out->count], a->ai_addr, a->ai_addrlen);
        out->bytes[out->count++] = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return 0;
}
