/* native_buffers.c - see native_buffers.h. */
#include "service/native_buffers.h"

#include <stdlib.h>

#include "keys.h"

static size_t stride(uint32_t size)
{
    return (sizeof(struct native_buffer) + size + 63) & ~(size_t)63;
}

static bool class_init(struct native_buffer_class *class, uint32_t size, unsigned count)
{
    *class = (struct native_buffer_class){.count = count};
    class->memory = calloc(count, stride(size));
    if (class->memory == NULL)
        return false;
    for (unsigned i = count; i-- > 0;) {
        struct native_buffer *buffer = (struct native_buffer *)(void *)(class->memory + i * stride(size));
        buffer->size = size;
        buffer->next = class->free;
        class->free = buffer;
    }
    return true;
}

static void class_fini(struct native_buffer_class *class, uint32_t size)
{
    if (class->memory != NULL)
        keys_wipe(class->memory, class->count * stride(size));
    free(class->memory);
    *class = (struct native_buffer_class){0};
}

bool native_buffers_init(struct native_buffers *buffers, unsigned small, unsigned large)
{
    *buffers = (struct native_buffers){0};
    return class_init(&buffers->small, NATIVE_BUFFER_SMALL_BYTES, small) &&
           class_init(&buffers->large, NATIVE_BUFFER_LARGE_BYTES, large);
}

void native_buffers_fini(struct native_buffers *buffers)
{
    class_fini(&buffers->small, NATIVE_BUFFER_SMALL_BYTES);
    class_fini(&buffers->large, NATIVE_BUFFER_LARGE_BYTES);
}

unsigned native_buffers_for_requests(const struct native_buffers *buffers, bool large)
{
    return large ? buffers->large.count - buffers->large.count / 4 : buffers->small.count;
}

/* A large one serves when the small ones are out, not the other way round. */
static struct native_buffer_class *class_for(struct native_buffers *buffers, uint32_t bytes,
                                             enum native_buffer_use use)
{
    struct native_buffer_class *large = &buffers->large;
    if (bytes <= NATIVE_BUFFER_SMALL_BYTES && buffers->small.free != NULL)
        return &buffers->small;
    if (use == NATIVE_BUFFER_REQUEST && large->used >= native_buffers_for_requests(buffers, true))
        return NULL;
    return large->free != NULL ? large : NULL;
}

struct native_buffer *native_buffer_take(struct native_buffers *buffers, uint32_t bytes,
                                         enum native_buffer_use use)
{
    struct native_buffer_class *class = class_for(buffers, bytes, use);
    if (class == NULL)
        return NULL;
    struct native_buffer *buffer = class->free;
    class->free = buffer->next;
    class->used++;
    buffer->next = NULL;
    buffer->length = buffer->taken = 0;
    return buffer;
}

void native_buffer_give(struct native_buffers *buffers, struct native_buffer *buffer)
{
    struct native_buffer_class *class =
        buffer->size == NATIVE_BUFFER_SMALL_BYTES ? &buffers->small : &buffers->large;
    buffer->next = class->free;
    class->free = buffer;
    class->used--;
}
