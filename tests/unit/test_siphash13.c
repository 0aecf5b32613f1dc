#include "suite.h"

#include "siphash13.h"

/* Key 00 01 .. 0f, input 00 01 .. (length - 1), as in the paper's appendix and its authors' vectors. */
static const struct siphash_key key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

static const struct siphash_state start = {
    0x736f6d6570736575ULL ^ 0x0706050403020100ULL, 0x646f72616e646f6dULL ^ 0x0f0e0d0c0b0a0908ULL,
    0x6c7967656e657261ULL ^ 0x0706050403020100ULL, 0x7465646279746573ULL ^ 0x0f0e0d0c0b0a0908ULL};

static void the_rounds_give_the_published_2_4_vectors(void)
{
    static const uint64_t vectors[16] = {
        0x726fdb47dd0e0e31ULL, 0x74f839c593dc67fdULL, 0x0d6c8009d9a94f5aULL, 0x85676696d7fb7e2dULL,
        0xcf2794e0277187b7ULL, 0x18765564cd99a68dULL, 0xcbc9466e58fee3ceULL, 0xab0200f58b01d137ULL,
        0x93f5f5799a932462ULL, 0x9e0082df0ba9e4b0ULL, 0x7a5dbbc594ddb9f3ULL, 0xf4b32f46226bada7ULL,
        0x751e8fbc860ee5fbULL, 0x14ea5627c0843d90ULL, 0xf723ca908e7af2eeULL, 0xa129ca6149be45e5ULL,
    };
    uint8_t input[64];
    for (unsigned i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)i;
    for (unsigned length = 0; length < 16; length++)
        CU_ASSERT_EQUAL(siphash(&key, input, length, 2, 4), vectors[length]);
    CU_ASSERT_EQUAL(siphash(&key, input, 63, 2, 4), 0x958a324ceb064572ULL);
}

static void the_1_3_variant_gives_its_known_vector(void)
{
    CU_ASSERT_EQUAL(siphash13(&start, NULL, 0), 0xabac0158050fc4dcULL);
}

static void lengths_with_code_of_their_own_hash_like_all_others(void)
{
    uint8_t input[64];
    memset(input, 0xA7, sizeof input);
    for (volatile size_t length = 0; length < sizeof input; length++) {
        size_t any = length; /* nothing that the compiler could know */
        CU_ASSERT_EQUAL(siphash13(&start, input, any), siphash(&key, input, any, 1, 3));
    }
}

static void no_byte_outside_the_key_is_read(void)
{
    /* Under ASan each length ends where its allocation ends. */
    for (size_t length = 0; length < 40; length++) {
        uint8_t *exact = malloc(length + (length == 0)), copy[48];
        memset(exact, 0x5A, length);
        memset(copy, 0xFF, sizeof copy);
        memcpy(copy, exact, length);
        CU_ASSERT_EQUAL(siphash13(&start, exact, length), siphash13(&start, copy, length));
        free(exact);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the rounds give the published 2-4 vectors", the_rounds_give_the_published_2_4_vectors},
        {"the 1-3 variant gives its known vector", the_1_3_variant_gives_its_known_vector},
        {"lengths with code of their own hash like all others",
         lengths_with_code_of_their_own_hash_like_all_others},
        {"no byte outside the key is read", no_byte_outside_the_key_is_read},
        CU_TEST_INFO_NULL,
    };
    return suite_run("siphash13", tests);
}
