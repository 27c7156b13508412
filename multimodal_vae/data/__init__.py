"""Data: from files or arrays to batches, with patients kept on one side of every split."""
