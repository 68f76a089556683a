"""What is kept between two reconciles: resource bodies, Azure state, and whether anything has changed."""
