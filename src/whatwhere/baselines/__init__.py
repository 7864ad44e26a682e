"""What the paper compares itself with: methods that cut one graph (Table 1, appendix B.3). None imports torch."""
