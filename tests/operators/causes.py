"""Why operators are incomplete: what docs/operators.md says of every one of them."""

SUMMED = (
    "the shape of the result depends on its numbers, of which trial compares the sum alone; their "
    "order counts, and stays"
)
CAUSES: dict[str, tuple[str, ...]] = {
    "a complex number is one value: its two parts move together, also where they are written and "
    "read apart and nothing in between mixes them": ("complex", "view_as_complex", "view_as_real"),
    "of real numbers the result is the same from both ends, where the rule takes them for complex "
    "ones": ("fft.hfft", "fft.irfft"),
    "which pivot of a singular matrix is zero is returned too, and depends on the order of the rows; "
    "trial draws no singular matrix": ("linalg.inv_ex", "linalg.solve_ex"),
    "factors are returned with the order of the rows, or have more columns than rows; the rule keeps "
    "matrices in place as wholes": ("linalg.lu", "linalg.lu_factor", "linalg.lu_factor_ex", "lu"),
    "the signs of singular vectors are left to the library, which happens to keep them when columns "
    "are exchanged": ("linalg.svd", "svd"),
    "the diagonal of a unitriangular matrix is not read, and of a matrix of one entry that is all": (
        "linalg.solve_triangular",
    ),
    SUMMED: ("masked_select", "unique", "unique_consecutive"),
    "the place of every maximum is read, so that positions stay, and a gradient has no rule of its "
    "own": ("max_pool2d_with_indices_backward",),
    "the result differs from the first argument by less than trial can see": ("nextafter",),
    "trial exchanges weights of numbers that are rounded to the same integer": ("bincount",),
    "a histogram of vectors has no rule, and the ends of its bins must ascend, which trial does not "
    "know": ("histogramdd",),
    "the boundaries must ascend, which trial does not know": ("searchsorted",),
    "the result has one entry for every pair of rows, which is no product of axes": (
        "nn.functional.pdist",
    ),
    "an exchange of two classes moves parts of four arguments at once, which is no product of "
    "spaces": ("nn.functional.linear_cross_entropy.chunked_none",),
}
