"""What is in a folder of photographs: classes found in a sample of them, and then in every other one by itself.

`codebook` is a sample's solution with scikit-learn's words; `folder` finds the classes of a folder and labels all that
is in it, `names` are those that a person gives them, `tally` what the page and the tables say of them, `page` and
`export` write it.
"""
