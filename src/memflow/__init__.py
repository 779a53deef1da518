"""memflow: which training examples does an image classifier memorise?"""
