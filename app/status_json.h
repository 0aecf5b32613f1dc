/*
 * status_json.h - a node's status as operators' scripts read it: the values of `wildctl -j status`, `-j replicas` and
 * `-j members`. Their
 * names are promises.
 */
#ifndef WILD_STATUS_JSON_H
#define WILD_STATUS_JSON_H

#include <jansson.h>

#include "node_status.h"

/* New references; NULL: memory is short. */
json_t *status_json(const struct node_status *status);
json_t *members_json(const struct node_status *status);  /* a list, likewise */
json_t *replicas_json(const struct node_status *status); /* a list, empty where nobody follows */

#endif
