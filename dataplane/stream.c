#include "stream.h"

size_t stream_write(struct stream *stream, const uint8_t *bytes, size_t length)
{
    size_t written = 0;
    while (written < length) {
        size_t room;
        uint8_t *place = stream_reserve(stream, 1, &room);
        if (place == NULL)
            break;
        if (room > length - written)
            room = length - written;
        memcpy(place, bytes + written, room);
        stream_commit(stream, room);
        written += room;
    }
    return written;
}
