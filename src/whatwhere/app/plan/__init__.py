"""What a run will do, before anything starts: images, passes, hours, disk, downloads, and what is missing."""
