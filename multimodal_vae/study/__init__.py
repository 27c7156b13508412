"""Reader studies: a page on which people judge samples, and the accuracy of their answers."""
