"""One X per image, solved jointly over a data set (paper, sections 3.3 and 4.2, appendix C).

`source` reads a layer's queries and keys, or values, of many images; `search` and `graph` make them one sparse
graph across images (Eq. 6-7); `minibatch` descends Eq. 4 batch after batch as the paper does; `whole` solves Eq. 3
over the whole set at once.
"""
